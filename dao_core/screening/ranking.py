"""The answer as a landscape: candidates in order of energy, and how probable it is that each one is stable."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dao_core.screening.candidate import Candidate

RESOLUTION = 0.025  # eV/atom, kT at room temperature: well below the error of the shipped energy model
STABLE_BELOW = 0.08  # eV/atom above the hull: what CrysDB calls stable (method.md, section 5)


def probability_stable(e_above_hull: float, energy_std: float, *, threshold: float = STABLE_BELOW) -> float:
    """P(energy above hull <= threshold) when the error is normal with the given spread (eV/atom).

    A spread of zero gives 0 or 1. Raises ValueError on a negative or non-finite spread.
    """
    if not (math.isfinite(energy_std) and energy_std >= 0):
        raise ValueError(f"energy_std is {energy_std}: give a finite spread >= 0, or leave P(stable) unknown")
    margin = threshold - e_above_hull
    if energy_std == 0:
        return 1.0 if margin >= 0 else 0.0
    return 0.5 * math.erfc(-margin / (energy_std * math.sqrt(2)))


def with_probability(candidates: Iterable[Candidate], *, threshold: float = STABLE_BELOW) -> list[Candidate]:
    """Fill `p_stable` where both the distance to the hull and the spread are known; elsewhere it stays None."""
    out = []
    for c in candidates:
        known = c.e_above_hull is not None and c.energy_std is not None
        p = probability_stable(c.e_above_hull, c.energy_std, threshold=threshold) if known else None  # type: ignore[arg-type]
        out.append(c.replace(p_stable=p))
    return out


def ground_states(candidates: Iterable[Candidate]) -> dict[str, float]:
    """Lowest usable energy per atom of each formula (eV/atom), whatever the number of formula units."""
    best: dict[str, float] = {}
    for c in candidates:
        if c.usable and c.energy_per_atom is not None:
            best[c.formula] = min(best.get(c.formula, math.inf), c.energy_per_atom)
    return best


def relative_energy(candidate: Candidate, best: dict[str, float]) -> float | None:
    """Energy above the lowest polymorph of the same formula in eV/atom, None without a usable energy."""
    if not candidate.usable or candidate.energy_per_atom is None:
        return None
    return candidate.energy_per_atom - best[candidate.formula]


def rank(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Order candidates: one formula by energy per atom (all Z together); several formulas by distance to the hull.

    Polymorphs within RESOLUTION of their formula's lowest energy are too close for the model to tell apart: among them
    the structure that was found most often, from independent starts, comes first. Where the hull distance of any usable
    candidate is unknown, formulas are compared by the energy above their own lowest polymorph, so that energies of
    different compositions are never compared. Rejected candidates come last.
    """
    items = list(candidates)
    best = ground_states(items)
    hull_known = all(c.e_above_hull is not None for c in items if c.usable) and len(best) > 1
    above_lowest = {c.formula: c.e_above_hull for c in items if hull_known and relative_energy(c, best) == 0.0}

    def key(c: Candidate) -> tuple[bool, float, str, int, float, str]:
        if not c.usable:
            return (True, 0.0, c.formula, 0, 0.0, c.id)
        relative = relative_energy(c, best) or 0.0
        first = c.e_above_hull if hull_known else relative
        tied = relative <= RESOLUTION
        if tied:
            first = above_lowest.get(c.formula, 0.0)
        return (
            False,
            float(first or 0.0),
            c.formula,
            -c.n_merged if tied else 0,
            float(c.energy_per_atom or 0.0),
            c.id,
        )

    return sorted(items, key=key)


def polymorphs(candidates: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    """The landscape of each formula: its usable candidates by energy per atom."""
    out: dict[str, list[Candidate]] = {}
    for c in rank(candidates):
        if c.usable:
            out.setdefault(c.formula, []).append(c)
    return {formula: sorted(group, key=lambda c: (c.energy_per_atom or 0.0, c.id)) for formula, group in out.items()}
