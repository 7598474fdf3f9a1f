from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.potential import PotentialFailure, PotentialResult
from dao_core.screening.hull import HullCoverageError, place_on_hull
from dao_core.screening.relaxed_hull import competing_phases, relaxed_hull
from tests.screening.conftest import candidate, rocksalt


@dataclass
class Phase:
    material_id: str
    crystal: Crystal
    e_above_hull: float | None = None
    energy_per_atom: float | None = None

    @property
    def atomic_numbers(self):
        return self.crystal.atomic_numbers

    @property
    def formula_reduced(self) -> str:
        return self.crystal.formula_reduced


class ByElement:
    """Energy per atom by composition, no forces: -1 for an element, -3 for a compound, none for `bad` ones."""

    identity = "test-potential"

    def __init__(self, bad: frozenset[str] = frozenset()) -> None:
        self.bad = bad

    def compute(self, crystals):
        out = []
        for c in crystals:
            if c.formula_reduced in self.bad:
                out.append(PotentialFailure("unknown chemistry"))
                continue
            energy = (-1.0 if len(c.composition) == 1 else -3.0) * c.n_atoms
            out.append(PotentialResult(energy, np.zeros((c.n_atoms, 3)), np.zeros((3, 3))))
        return out


def single(number: int) -> Crystal:
    return Crystal(3.5 * np.eye(3), np.zeros((1, 3)), np.array([number]))


PHASES = [
    Phase("na", single(11), 0.0, -1.3),
    Phase("na-high", single(11), 0.3, -1.0),
    Phase("cl", single(17), None, -1.8),
    Phase("cl-high", single(17), None, -1.7),
    Phase("halite", rocksalt(), 0.0, -3.4),
    Phase("far", rocksalt(length=6.5), 0.4, -3.0),
    Phase("kcl", rocksalt("K", "Cl", 6.3), 0.0, -3.4),
]


def test_only_phases_that_compete_are_taken() -> None:
    assert [p.material_id for p in competing_phases(PHASES, ["Na", "Cl"])] == ["na", "cl", "halite"]


def test_an_element_far_above_its_hull_is_still_needed() -> None:
    chosen = competing_phases([Phase("na-high", single(11), 0.3, -1.0)], ["Na"])
    assert [p.material_id for p in chosen] == ["na-high"]


def test_the_hull_carries_the_potential_and_takes_its_candidates() -> None:
    made = relaxed_hull(PHASES, ["Na", "Cl"], ByElement())
    assert made.hull.identity == "test-potential"
    assert made.left_out == {}
    placed = place_on_hull([candidate("a", rocksalt(), -2.9)], made.hull)[0]
    assert placed.e_above_hull == pytest.approx(0.1)
    assert placed.formation_energy_per_atom == pytest.approx(-1.9)


def test_a_phase_that_fails_is_named_and_a_missing_element_stops() -> None:
    made = relaxed_hull(PHASES, ["Na", "Cl"], ByElement(frozenset({"NaCl"})))
    assert "unknown chemistry" in made.left_out["halite"]
    with pytest.raises(HullCoverageError, match="no usable elemental phase of K"):
        relaxed_hull(PHASES, ["K", "Cl"], ByElement())
    with pytest.raises(HullCoverageError, match="Na"):
        relaxed_hull(PHASES, ["Na", "Cl"], ByElement(frozenset({"Na"})))
