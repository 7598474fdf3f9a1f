"""Distance of candidates to a convex hull of the same energies, with the competing phases; others are refused."""

from __future__ import annotations

from collections.abc import Iterable

from dao_core.hull.hull import Decomposition, Hull, HullCoverageError, count_atoms
from dao_core.hull.label import check_label
from dao_core.screening.candidate import Candidate


def place_on_hull(candidates: Iterable[Candidate], hull: Hull) -> list[Candidate]:
    """Fill `e_above_hull`, `formation_energy_per_atom`, `decomposition` and `hull_identity` of usable candidates.

    Negative values mean below the hull of the references. Where the hull lacks an element the fields stay None and
    `provenance["hull"]` says why. Candidates with energies of another model than the hull's (those that the judge has
    not seen) are not placed.

    Args:
        candidates: Any.
        hull: Of the references, energies in eV/atom.

    Returns:
        The candidates in the same order.

    Raises:
        ForeignEnergyError: No candidate has energies of the hull's kind.
    """
    items = list(candidates)
    check_hull(items, hull)
    cache: dict[str, Decomposition | HullCoverageError] = {}
    return [_place(c, hull, cache) for c in items]


def _place(c: Candidate, hull: Hull, cache: dict[str, Decomposition | HullCoverageError]) -> Candidate:
    if not c.usable or c.energy_per_atom is None or c.energy_label != hull.label:
        return c
    if c.formula not in cache:
        try:
            cache[c.formula] = hull.decompose(count_atoms(c.crystal.atomic_numbers))
        except HullCoverageError as error:
            cache[c.formula] = error
    found = cache[c.formula]
    if isinstance(found, HullCoverageError):
        return c.replace(provenance={**c.provenance, "hull": str(found)})
    return c.replace(
        e_above_hull=c.energy_per_atom - found.energy_per_atom,
        formation_energy_per_atom=hull.formation_energy_per_atom(
            count_atoms(c.crystal.atomic_numbers), c.energy_per_atom, label=hull.label
        ),
        decomposition=str(found),
        hull_identity=hull.label.made_by,
    )


def check_hull(candidates: Iterable[Candidate], hull: Hull) -> None:
    """Raise ForeignEnergyError where there are energies and none is of the hull's kind."""
    labels = [c.energy_label for c in candidates if c.usable]
    if labels and hull.label not in labels:
        check_label(hull.label, labels[0])
