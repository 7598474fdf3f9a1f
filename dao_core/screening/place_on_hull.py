"""Distance of candidates to a convex hull whose energies come from the same potential; anything else is refused.

The hull at one composition is the linear programme min sum w_i e_i with sum w_i x_i = x, w >= 0 over the reference
entries, which is exact in any number of elements and also names the competing phases.
"""

from __future__ import annotations

from collections.abc import Iterable

from dao_core.hull.reference_hull import (
    Decomposition,
    HullCoverageError,
    ReferenceHull,
    check_identity,
)
from dao_core.screening.candidate import Candidate


def place_on_hull(candidates: Iterable[Candidate], hull: ReferenceHull) -> list[Candidate]:
    """Fill `e_above_hull`, `formation_energy_per_atom`, `decomposition` and `hull_identity` of usable candidates.

    Negative values mean below the hull of the references. Where the hull lacks an element the fields stay None and
    `provenance["hull"]` says why. Raises HullIdentityError before anything is computed when a potential differs.
    """
    items = list(candidates)
    for c in items:
        if c.usable:
            check_identity(hull, c.energy_identity)
    cache: dict[str, Decomposition | HullCoverageError] = {}
    return [_place(c, hull, cache) for c in items]


def _place(c: Candidate, hull: ReferenceHull, cache: dict[str, Decomposition | HullCoverageError]) -> Candidate:
    if not c.usable or c.energy_per_atom is None:
        return c
    if c.formula not in cache:
        try:
            cache[c.formula] = hull.decompose(c.crystal.composition)
        except HullCoverageError as error:
            cache[c.formula] = error
    found = cache[c.formula]
    if isinstance(found, HullCoverageError):
        return c.replace(provenance={**c.provenance, "hull": str(found)})
    return c.replace(
        e_above_hull=c.energy_per_atom - found.energy_per_atom,
        formation_energy_per_atom=hull.formation_energy(c.crystal.composition, c.energy_per_atom),
        decomposition=str(found),
        hull_identity=hull.identity,
    )
