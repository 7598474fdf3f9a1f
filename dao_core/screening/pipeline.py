"""From relaxed proposals to the ranked landscape: the order of the screening steps, in one place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dao_core.hull.hull import Hull
from dao_core.screening.candidate import Candidate
from dao_core.screening.dedup import deduplicate
from dao_core.screening.novelty import NoveltyIndex, with_library_novelty, with_novelty
from dao_core.screening.place_on_hull import check_hull, place_on_hull
from dao_core.screening.ranking import (
    DEFAULT_RULE,
    RankingRule,
    rank,
    with_measured_spread,
    with_probability,
    with_stability,
)
from dao_core.screening.symmetry import SNAP_SYMPREC, Snapped, SymmetryError, snap

if TYPE_CHECKING:
    from dao_core.energy.potential import Potential
    from dao_core.screening.known import KnownStructures

SNAP_ENERGY = 0.002  # eV/atom: snapping to symmetry may cost at most this


@dataclass(frozen=True)
class Screened:
    """Ranked candidates and the counts behind them: n_ok + n_failed == n_asked, n_merged duplicates among the ok.

    `n_asked` counts every structure that came in, starts that their relaxation left among them.
    """

    candidates: list[Candidate]
    n_asked: int
    n_ok: int
    n_failed: int
    n_merged: int
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ScreenInputs:
    """What candidates are compared with.

    Attributes:
        hull: Reference phases in the energies that decide.
        novelty: Known structures.
        potentials: Those that made the energies, for structures that symmetry moves.
        rule: How to rank.
        library: Known structures of the formulas themselves.
    """

    hull: Hull | None = None
    novelty: NoveltyIndex | None = None
    potentials: Sequence[Potential] = ()
    rule: RankingRule = DEFAULT_RULE
    library: KnownStructures | None = None


def screen(candidates: Iterable[Candidate], inputs: ScreenInputs | None = None) -> Screened:
    """Symmetrise, merge duplicates, place on the hull, compare with the database, and rank.

    Args:
        candidates: Relaxed or not.
        inputs: Hull, known structures, potentials and the rule of the ranking.

    Returns:
        Ranked candidates and counts.

    Raises:
        ForeignEnergyError: The hull's energies come from a potential that made none of the candidates'.
    """
    items = list(candidates)
    inputs = inputs or ScreenInputs()
    if inputs.hull is not None:
        check_hull(items, inputs.hull)
    n_ok = sum(not c.rejected for c in items)
    reasons = Counter(c.relaxation_status for c in items if c.rejected)
    found = deduplicate(symmetrize(items, inputs.potentials))
    if inputs.hull is not None:
        found = place_on_hull(found, inputs.hull)
    if inputs.library is not None:
        found = with_library_novelty(found, inputs.library)
    if inputs.novelty is not None:
        found = with_novelty(found, inputs.novelty)
    found = with_stability(with_measured_spread(found, inputs.rule))
    found = rank(with_probability(found, inputs.rule), inputs.rule)
    n_merged = n_ok - sum(not c.rejected for c in found)
    return Screened(found, len(items), n_ok, len(items) - n_ok, n_merged, dict(reasons))


def symmetrize(candidates: Iterable[Candidate], potentials: Sequence[Potential] = ()) -> list[Candidate]:
    """Fill the space groups and snap nearly symmetric relaxed structures to their symmetric form.

    With the potential of a candidate's energy the snapped structure is computed anew: its energy replaces the relaxed
    one, and a snap that costs more than 2 meV/atom is undone (the distortion was real). Without it, the relaxed
    structure's energy is kept. A structure that nobody relaxed, or that holds a given framework or lattice, keeps its
    own cell and atoms.

    Args:
        candidates: With or without energies.
        potentials: Those whose energies may be computed anew.

    Returns:
        The candidates in the same order.
    """
    items = list(candidates)
    snapped = []
    for c in items:
        try:
            found = snap(c.crystal, SNAP_SYMPREC)
        except SymmetryError as error:
            snapped.append(c.replace(provenance={**c.provenance, "symmetry": str(error)}))
        else:
            snapped.append(_with_symmetry(c, found))
    for potential in potentials:
        snapped = _confirm(items, snapped, potential)
    return snapped


def _moves(c: Candidate) -> bool:
    return c.relaxed and not c.held


def _with_symmetry(c: Candidate, found: Snapped) -> Candidate:
    return c.replace(
        crystal=found.crystal if _moves(c) else c.crystal,
        spacegroup_before=found.before,
        spacegroup_after=found.after if _moves(c) or c.held else found.before,
        symprec=found.symprec,
        prototype=found.prototype,
    )


def _confirm(originals: Sequence[Candidate], snapped: Sequence[Candidate], potential: Potential) -> list[Candidate]:
    """Undo the snaps that cost energy, of those candidates whose energies this potential made."""
    from dao_core.energy.potential import PotentialResult

    changed = [
        i
        for i, c in enumerate(snapped)
        if _moves(c) and c.spacegroup_after != c.spacegroup_before and c.energy_identity == potential.identity
    ]
    outcomes = potential.compute([snapped[i].crystal for i in changed]) if changed else []
    out = list(snapped)
    for i, outcome in zip(changed, outcomes, strict=True):
        c, original = snapped[i], originals[i]
        energy = outcome.energy / c.crystal.n_atoms if isinstance(outcome, PotentialResult) else None
        relaxed = original.energy_per_atom
        if energy is not None and relaxed is not None and energy <= relaxed + SNAP_ENERGY:
            out[i] = c.replace(energy_per_atom=energy)
            continue
        tight = snap(original.crystal, 0.0)
        out[i] = c.replace(
            crystal=tight.crystal,
            spacegroup_after=tight.after,
            symprec=tight.symprec,
            prototype=tight.prototype,
            provenance={**c.provenance, "snap": "undone: the symmetric form is higher in energy"},
        )
    return out


def counts_of(screened: Screened) -> dict[str, int]:
    """The counts as a stage records them."""
    return {
        "n_asked": screened.n_asked,
        "n_ok": screened.n_ok,
        "n_failed": screened.n_failed,
        "n_merged": screened.n_merged,
        "n_distinct": len(screened.candidates),
    }
