"""Enthalpies under pressure: which polymorph is lowest at how many GPa, and where the order changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from dao_core.screening.candidate import USABLE_STATUSES, Candidate

if TYPE_CHECKING:
    from dao_core.crystal import Crystal
    from dao_core.energy.potential import Potential
    from dao_core.energy.relaxation.relax import RelaxSettings


@dataclass(frozen=True)
class Transition:
    """At `gpa` (linear between two pressures) the lowest polymorph of a formula changes to another."""

    formula: str
    gpa: float
    below: str
    above: str


def with_enthalpies(
    candidates: Sequence[Candidate], potential: Potential, pressures_gpa: Sequence[float], settings: RelaxSettings
) -> list[Candidate]:
    """Relax each candidate that is not rejected at each pressure and put the enthalpies into `extras["pressure"]`.

    One entry a pressure, ascending: `gpa`, `enthalpy_per_atom` (eV: E + p V), `volume_per_atom` (angstrom^3), `status`,
    `above_best` (eV/atom over the lowest of the same formula at that pressure). Each pressure starts from the
    structure of the one before. A relaxation that was rejected leaves its numbers unknown.

    Args:
        candidates: Any.
        potential: Whose energies are taken.
        pressures_gpa: In GPa.
        settings: Of the relaxations; their pressure is replaced.

    Returns:
        The candidates in the same order.

    Raises:
        ValueError: No pressure was given.
    """
    from dao_core.energy.relaxation.relax import relax

    if not pressures_gpa:
        raise ValueError("give at least one pressure in GPa")
    chosen = [i for i, c in enumerate(candidates) if not c.rejected]
    crystals: list[Crystal] = [candidates[i].crystal for i in chosen]
    curves: list[list[dict[str, Any]]] = [[] for _ in chosen]
    for gpa in sorted(set(pressures_gpa)):
        results = relax(crystals, potential, settings.model_copy(update={"pressure_gpa": gpa}))
        entries = [_entry(gpa, r.crystal, r.energy_per_atom, str(r.status)) for r in results]
        best: dict[str, float] = {}
        for i, entry in zip(chosen, entries, strict=True):
            if entry["enthalpy_per_atom"] is not None:
                formula = candidates[i].formula
                best[formula] = min(best.get(formula, float("inf")), entry["enthalpy_per_atom"])
        for k, (i, entry) in enumerate(zip(chosen, entries, strict=True)):
            enthalpy = entry["enthalpy_per_atom"]
            entry["above_best"] = None if enthalpy is None else enthalpy - best[candidates[i].formula]
            curves[k].append(entry)
            if enthalpy is not None:
                crystals[k] = results[k].crystal
    out = list(candidates)
    for i, curve in zip(chosen, curves, strict=True):
        out[i] = out[i].replace(extras={**out[i].extras, "pressure": curve})
    return out


def _entry(gpa: float, crystal: Crystal, energy_per_atom: float | None, status: str) -> dict[str, Any]:
    from dao_core.units import GPA_PER_EV_A3

    known = energy_per_atom is not None and status in USABLE_STATUSES
    volume = crystal.volume / crystal.n_atoms
    enthalpy = energy_per_atom + gpa / GPA_PER_EV_A3 * volume if known else None  # type: ignore[operator]
    return {
        "gpa": float(gpa),
        "enthalpy_per_atom": enthalpy,
        "volume_per_atom": volume if known else None,
        "status": status,
    }


def enthalpy_order(candidates: Sequence[Candidate], formula: str) -> dict[float, list[str]]:
    """The order of a formula's candidates at each pressure.

    Args:
        candidates: With enthalpies, from `with_enthalpies`.
        formula: Reduced.

    Returns:
        Pressure in GPa -> ids in order of enthalpy, those without one left out.
    """
    order: dict[float, list[tuple[float, str]]] = {}
    for c in candidates:
        if c.formula != formula:
            continue
        for entry in c.extras.get("pressure", []):
            if entry["enthalpy_per_atom"] is not None:
                order.setdefault(entry["gpa"], []).append((entry["enthalpy_per_atom"], c.id))
    return {gpa: [name for _, name in sorted(order[gpa])] for gpa in sorted(order)}


def transitions(candidates: Sequence[Candidate]) -> list[Transition]:
    """Where the lowest polymorph of each formula changes, ascending in pressure."""
    found: list[Transition] = []
    enthalpy = {(c.id, e["gpa"]): e["enthalpy_per_atom"] for c in candidates for e in c.extras.get("pressure", [])}
    for formula in sorted({c.formula for c in candidates}):
        order = enthalpy_order(candidates, formula)
        for low, high in pairwise(order):
            below, above = order[low][0], order[high][0]
            gaps = [_gap(enthalpy.get((above, p)), enthalpy.get((below, p))) for p in (low, high)]
            if below == above or gaps[0] is None or gaps[1] is None:
                continue
            # the gap falls from positive to negative between the two pressures
            gpa = low + (high - low) * gaps[0] / (gaps[0] - gaps[1])
            found.append(Transition(formula, gpa, below, above))
    return found


def _gap(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
