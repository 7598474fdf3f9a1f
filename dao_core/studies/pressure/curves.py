"""Enthalpy curves of phases under pressure, and where two of them cross."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dao_core.crystal import Crystal
from dao_core.studies.study import Rows
from dao_core.units import GPA_PER_EV_A3

if TYPE_CHECKING:
    from dao_core.energy.potential import Potential
    from dao_core.energy.relaxation.relax import RelaxSettings

USABLE = ("converged", "max_steps")


def enthalpy_curve(crystal: Crystal, judge: Potential, pressures_gpa: Sequence[float], settings: RelaxSettings) -> Rows:
    """Relax a phase at rising pressures, its symmetry kept, each from the one before.

    Args:
        crystal: The phase.
        judge: Whose energies and stresses.
        pressures_gpa: Ascending.
        settings: Of the relaxations; the pressure is set here.

    Returns:
        One row a pressure: `gpa`, `enthalpy_per_atom` (eV: E + pV), `volume_per_atom` (angstrom^3), `status`,
        `n_steps`; enthalpy and volume are None where the relaxation was rejected.
    """
    from dao_core.energy.relaxation.relax import relax

    rows: Rows = []
    for gpa in pressures_gpa:
        result = relax([crystal], judge, settings.model_copy(update={"pressure_gpa": gpa, "keep_symmetry": True}))[0]
        row = {"gpa": float(gpa), "enthalpy_per_atom": None, "volume_per_atom": None, "status": str(result.status),
               "n_steps": result.n_steps}  # fmt: skip
        if str(result.status) in USABLE and result.energy_per_atom is not None:
            crystal = result.crystal
            volume = crystal.volume / crystal.n_atoms
            row |= {
                "enthalpy_per_atom": result.energy_per_atom + gpa / GPA_PER_EV_A3 * volume,
                "volume_per_atom": volume,
            }
        rows.append(row)
    return rows


def crossing(
    pressures_gpa: Sequence[float], gaps: Sequence[float], slopes: Sequence[float]
) -> tuple[float | None, bool]:
    """Pressure at which an enthalpy difference passes through zero from above.

    Between two pressures the difference is the cubic with the known values and slopes (the slope is the difference of
    the volumes: dH/dp = V); beyond the last pressure it is the tangent there.

    Args:
        pressures_gpa: Ascending, at least two.
        gaps: Enthalpy of the phase above minus that of the one below at each, eV/atom.
        slopes: Difference of the volumes at each, angstrom^3/atom.

    Returns:
        The pressure in GPa, None where there is none, and whether it lies inside the pressures.
    """
    from scipy.interpolate import CubicHermiteSpline

    p, gap = np.asarray(pressures_gpa, dtype=float), np.asarray(gaps, dtype=float)
    slope = np.asarray(slopes, dtype=float) / GPA_PER_EV_A3
    for i in range(len(p) - 1):
        if gap[i] > 0 >= gap[i + 1]:
            roots = CubicHermiteSpline(p[i : i + 2], gap[i : i + 2], slope[i : i + 2]).roots(extrapolate=False)
            return float(roots[0] if len(roots) else p[i + 1]), True  # rounding can put a root at the end beyond it
    end = -1 if gap[-1] > 0 else 0
    if slope[end] >= 0:
        return None, False
    return float(p[end] - gap[end] / slope[end]), False
