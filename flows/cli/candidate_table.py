"""The table of the best candidates in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flows.cli.console import table

if TYPE_CHECKING:
    from dao_core.screening.candidate import Candidate

COLUMNS = ("rank", "formula", "Z", "space group", "g/cm³", "probability", "above lowest", "above hull", "in library",
           "eV/atom", "relaxed by", "origin", "found", "known?")  # fmt: skip
_TEMPLATE = "template "  # before the id of the template that a sample started from
SPARE = ("found", "origin", "relaxed by", "eV/atom", "in library", "Z", "g/cm³")  # what a narrow terminal goes without

# of a row with --json, besides those that `_values` works out
VALUES = ("id", "formula", "shown_formula", "z", "library_spacegroup", "density", "prototype", "probability",
          "energy_per_atom", "energy_std", "energy_identity", "energy_kind", "undecided", "judged", "r2scan_shift",
          "e_above_hull", "hull_identity", "p_stable", "model_formation_energy", "library", "library_id",
          "library_e_above_hull", "relaxation_status", "origin", "n_merged", "novelty", "novelty_reference", "mineral",
          "n_measured")  # fmt: skip


def candidate_table(candidates: Sequence[Candidate], *, limit: int, title: str | None = None) -> None:
    """Print the best candidates.

    Energies relative to the best polymorph of a formula are shown only where they were made by the same model.

    Args:
        candidates: In rank order.
        limit: Rows at most.
        title: Above the table; default: how many of how many.
    """
    from dao_core.screening.ranking import by_formula, deciding_identity, ground_states, relative_energy

    best = ground_states(candidates)
    decides = {formula: deciding_identity(group) for formula, group in by_formula(candidates).items()}
    placed = [(i, c, relative_energy(c, best, decides[c.formula])) for i, c in enumerate(candidates[:limit], start=1)]
    counted = f"{min(limit, len(candidates))} of {len(candidates)} distinct structures"
    heading = counted if title is None else f"{title}: {counted}"
    table(heading, COLUMNS, [_row(*p) for p in placed], values=[_values(*p) for p in placed], spare=SPARE)


def _values(place: int, c: Candidate, above: float | None) -> dict[str, object]:
    """A row as numbers and names, each under its name in `candidates.parquet` if it has one there."""
    named = {name: getattr(c, name) for name in VALUES}
    template = c.provenance.get("template_id")
    start = str(c.provenance.get("start", ""))
    if template is None and start.startswith(_TEMPLATE):  # a sample that began as one
        template = start.removeprefix(_TEMPLATE)
    return {
        "rank": place,
        **named,
        "spacegroup_after": _group_number(c),
        "above_lowest": above,
        "template_id": template,
    }


def _row(place: int, c: Candidate, above: float | None) -> tuple[object, ...]:
    spread = "" if c.energy_std is None or above is None else f" ± {c.energy_std:.3f}"
    return (
        place,
        c.shown_formula,
        c.z,
        _group(c),
        _decimals(c.density, 2),
        _percent(c),
        None if above is None else f"{above:.4f}{spread}{' ?' if c.undecided else ''}",
        _decimals(c.e_above_hull, 3),
        _decimals(c.library_e_above_hull, 3),
        _decimals(c.energy_per_atom, 4),
        _relaxed_by(c),
        c.origin,
        c.n_merged,
        _known(c),
    )


def _group(c: Candidate) -> str | None:
    """Its space group, and of a known structure whose relaxation changed it also the one that it is known in."""
    from dao_core.screening.symmetry import spacegroup_symbol

    listed, number = c.library_spacegroup, _group_number(c)
    if not number:
        return None
    known = f", known as {spacegroup_symbol(listed)}" if listed and listed != number else ""
    return f"{spacegroup_symbol(number)} ({number}){known}"


def _group_number(c: Candidate) -> int | None:
    """Its space group; the library's where nobody has moved the structure: another would only be another tolerance."""
    at_rest = c.library_spacegroup is not None and not (c.relaxed or c.judged)
    return c.library_spacegroup if at_rest else c.spacegroup_after or c.spacegroup_before


def _percent(c: Candidate) -> str | None:
    if c.probability is None:
        return None
    return "< 1 %" if c.probability < 0.01 else f"{100 * c.probability:.0f} %"


def _relaxed_by(c: Candidate) -> str:
    """Whose energy it has, and how its relaxation ended where that isn't well."""
    from dao_core.screening.candidate import model_name

    if c.relaxation_status == "not_relaxed":
        return "not relaxed"
    name = model_name(c.energy_identity or "?")
    return name if c.relaxation_status == "converged" else f"{name}, {c.relaxation_status.replace('_', ' ')}"


def _known(c: Candidate) -> str | None:
    """`known: oqmd-icsd-3547, calcite, measured 11 times`, a known prototype, or new."""
    if c.novelty is None:
        return None
    times = "" if not c.n_measured else ", measured once" if c.n_measured == 1 else f", measured {c.n_measured} times"
    name = f", {c.mineral.replace('-', ' ')}" if c.mineral else ""
    return c.novelty if c.novelty_reference is None else f"{_WORDS[c.novelty]}: {c.novelty_reference}{name}{times}"


_WORDS = {"match": "known", "same prototype": "prototype", "new": "new"}


def _decimals(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


def energies_line(candidates: Sequence[Candidate]) -> str:
    """Whose energies the table shows and what they mean, in one sentence."""
    from dao_core.screening.candidate import model_name

    labels: dict[str, str] = {}
    for c in candidates:
        for label in (c.energy_label, c.first_energy_label):
            if label is not None:
                labels.setdefault(label.made_by, f"{model_name(label.made_by)} ({label.kind} energies)")
    if not labels:
        return "no energies"
    return f"eV/atom by {', '.join(labels.values())}; '?': closer to the lowest than that model can tell"
