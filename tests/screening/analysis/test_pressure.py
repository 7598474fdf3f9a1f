from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.potential import PotentialFailure, PotentialResult
from dao_core.energy.relaxation.relax import RelaxSettings
from dao_core.screening.analysis.pressure import enthalpy_order, transitions, with_enthalpies
from dao_core.units import GPA_PER_EV_A3
from tests.helpers.candidates import candidate

# Two polymorphs with parabolic E(V): (energy, volume, stiffness) per atom; told apart by their number of atoms.
LOOSE, DENSE = (-3.00, 20.0, 0.010), (-2.95, 16.0, 0.012)
SETTINGS = RelaxSettings(max_steps=200, fmax=1e-4, stress_gpa=0.005)


class Parabolas:
    identity = "test-potential"

    def compute(self, crystals):
        out = []
        for c in crystals:
            e0, v0, k = LOOSE if c.n_atoms == 1 else DENSE
            v = c.volume / c.n_atoms
            energy = c.n_atoms * (e0 + k * (v - v0) ** 2)
            out.append(PotentialResult(energy, np.zeros((c.n_atoms, 3)), np.eye(3) * 2 * k * (v - v0)))
        return out


def enthalpy(parameters: tuple[float, float, float], gpa: float) -> float:
    """Minimum over V of E(V) + p V."""
    e0, v0, k = parameters
    p = gpa / GPA_PER_EV_A3
    return e0 + p * v0 - p**2 / (4 * k)


def polymorphs() -> list:
    one = Crystal(20.0 ** (1 / 3) * np.eye(3), np.zeros((1, 3)), np.array([18]))
    two = Crystal(32.0 ** (1 / 3) * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([18, 18]))
    return [candidate("loose", one, -3.0), candidate("dense", two, -2.95)]


def test_enthalpies_are_the_legendre_transform() -> None:
    pressures = [0.0, 1.0, 2.0, 4.0]
    found = with_enthalpies(polymorphs(), Parabolas(), pressures, SETTINGS)
    for c, parameters in zip(found, (LOOSE, DENSE), strict=True):
        curve = c.extras["pressure"]
        assert [e["gpa"] for e in curve] == pressures
        assert [e["enthalpy_per_atom"] for e in curve] == pytest.approx(
            [enthalpy(parameters, p) for p in pressures], abs=1e-5
        )
        assert min(e["above_best"] for e in curve) == 0.0
        volumes = [e["volume_per_atom"] for e in curve]
        assert volumes == sorted(volumes, reverse=True)


def test_the_order_changes_where_the_curves_cross() -> None:
    found = with_enthalpies(polymorphs(), Parabolas(), np.arange(0, 5.1, 0.5).tolist(), SETTINGS)
    crossing = transitions(found)
    fine = np.linspace(0, 5, 5001)
    expected = fine[np.argmin(np.abs([enthalpy(LOOSE, p) - enthalpy(DENSE, p) for p in fine]))]
    assert [(t.below, t.above) for t in crossing] == [("loose", "dense")]
    assert crossing[0].gpa == pytest.approx(expected, abs=0.02)
    order = enthalpy_order(found, "Ar")
    assert order[0.0] == ["loose", "dense"]
    assert order[5.0] == ["dense", "loose"]


def test_what_fails_under_pressure_is_unknown_and_the_rest_stays() -> None:
    class Fragile(Parabolas):
        def compute(self, crystals):
            return [
                PotentialFailure("no") if c.n_atoms == 2 else o
                for c, o in zip(crystals, super().compute(crystals), strict=True)
            ]

    found = with_enthalpies(polymorphs(), Fragile(), [1.0], SETTINGS)
    assert found[1].extras["pressure"][0]["enthalpy_per_atom"] is None
    assert found[1].extras["pressure"][0]["status"] == "potential_failed"
    assert found[0].extras["pressure"][0]["above_best"] == 0.0
    assert transitions(found) == []


def test_no_pressure_is_an_error_and_rejected_candidates_are_left_alone() -> None:
    with pytest.raises(ValueError, match="at least one pressure"):
        with_enthalpies(polymorphs(), Parabolas(), [], SETTINGS)
    item = candidate("x", polymorphs()[0].crystal, None, relaxation_status="rejected_volume")
    assert with_enthalpies([item], Parabolas(), [1.0], SETTINGS) == [item]
