"""Enthalpy curves against closed forms and ASE, and where they cross."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.relaxation.relax import RelaxSettings
from dao_core.studies.pressure.curves import crossing, enthalpy_curve
from dao_core.units import GPA_PER_EV_A3
from tests.helpers.lennard_jones import LennardJonesPotential, calculator


def harmonic(p: np.ndarray, energy: float, volume: float, stiffness: float) -> tuple[np.ndarray, np.ndarray]:
    """Enthalpy and volume at p (GPa) of E = energy + stiffness (V - volume)^2."""
    q = p / GPA_PER_EV_A3
    return energy + q * volume - q**2 / (4 * stiffness), volume - q / (2 * stiffness)


def test_the_crossing_of_two_harmonic_phases_is_the_closed_form() -> None:
    p = np.array([0.0, 8.0, 25.0])
    low, v_low = harmonic(p, -5.0, 20.0, 0.01)
    high, v_high = harmonic(p, -4.8, 17.0, 0.012)
    gpa, inside = crossing(p.tolist(), (high - low).tolist(), (v_high - v_low).tolist())
    quadratic = [-1 / (4 * 0.012) + 1 / (4 * 0.01), 17.0 - 20.0, 0.2]
    wanted = min(x.real for x in np.roots(quadratic) if x.real > 0) * GPA_PER_EV_A3
    assert inside
    assert gpa == pytest.approx(wanted, rel=1e-9)


def test_beyond_the_last_pressure_the_tangent_decides_and_says_so() -> None:
    gpa, inside = crossing([0.0, 10.0], [0.4, 0.2], [-0.02 * GPA_PER_EV_A3] * 2)
    assert (gpa, inside) == (pytest.approx(20.0), False)
    gpa, inside = crossing([5.0, 10.0], [-0.1, -0.2], [-0.02 * GPA_PER_EV_A3] * 2)
    assert (gpa, inside) == (pytest.approx(0.0), False)


@pytest.mark.parametrize("seed", range(20))
def test_curves_that_meet_at_a_pressure_cross_there(seed: int) -> None:
    """As two phases do that relax to one structure: their difference is rounding."""
    rng = np.random.default_rng(seed)
    p = [0.0, float(rng.uniform(1, 50)), 100.0]
    gpa, inside = crossing(p, [float(rng.uniform(0.001, 1)), -1e-17, -1.0], rng.normal(-1, 1, 3).tolist())
    assert inside
    assert 0.0 < gpa <= p[1]


def test_phases_that_part_never_cross() -> None:
    assert crossing([0.0, 10.0], [0.2, 0.3], [1.0, 1.0]) == (None, False)


def test_a_curve_ends_at_the_pressure_and_its_slope_is_the_volume() -> None:
    argon = Crystal(np.array([[0, 2.6, 2.6], [2.6, 0, 2.6], [2.6, 2.6, 0]]), np.zeros((1, 3)), np.array([18]))
    settings = RelaxSettings(max_steps=60, fmax=1e-3, stress_gpa=1e-4)
    rows = enthalpy_curve(argon, LennardJonesPotential(), [0.0, 0.5, 1.0], settings)
    assert [r["status"] for r in rows] == ["converged"] * 3
    slope = (rows[2]["enthalpy_per_atom"] - rows[0]["enthalpy_per_atom"]) / (1.0 / GPA_PER_EV_A3)
    assert slope == pytest.approx(rows[1]["volume_per_atom"], rel=0.01)
    edge = (4 * rows[2]["volume_per_atom"]) ** (1 / 3)
    atoms = Crystal(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * edge / 2, np.zeros((1, 3)), np.array([18])).to_ase()
    atoms.calc = calculator()
    assert -atoms.get_stress(voigt=False).trace() / 3 * GPA_PER_EV_A3 == pytest.approx(1.0, abs=0.01)


def test_a_rejected_relaxation_leaves_its_numbers_unknown() -> None:
    close = Crystal(np.eye(3) * 1.2, np.zeros((1, 3)), np.array([18]))
    rows = enthalpy_curve(close, LennardJonesPotential(), [0.0], RelaxSettings(min_distance=2.0))
    assert rows[0]["status"] == "rejected_distance"
    assert rows[0]["enthalpy_per_atom"] is None
    assert rows[0]["volume_per_atom"] is None
