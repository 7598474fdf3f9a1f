from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dao_core.artifacts import Ledger
from dao_core.crystal import Crystal
from dao_core.energy.potential import PotentialFailure, PotentialResult
from dao_core.screening.place_on_hull import place_on_hull
from dao_core.screening.relaxed_hull import competing_phases, relaxed_hull
from tests.helpers.candidates import candidate, rocksalt


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
    assert made.hull.label.made_by == "test-potential"
    assert made.left_out == {}
    placed = place_on_hull([candidate("a", rocksalt(), -2.9)], made.hull)[0]
    assert placed.e_above_hull == pytest.approx(0.1)
    assert placed.formation_energy_per_atom == pytest.approx(-1.9)


def test_a_phase_that_fails_is_named_and_so_is_a_missing_element() -> None:
    made = relaxed_hull(PHASES, ["Na", "Cl"], ByElement(frozenset({"NaCl"})))
    assert "unknown chemistry" in made.left_out["halite"]
    assert relaxed_hull(PHASES, ["K", "Cl"], ByElement()).missing == ("K",)
    without = relaxed_hull(PHASES, ["Na", "Cl"], ByElement(frozenset({"Na"})))
    assert without.missing == ("Na",)
    placed = place_on_hull([candidate("a", rocksalt(), -2.9)], without.hull)[0]
    assert placed.e_above_hull is None
    assert "no elemental reference for Na" in placed.provenance["hull"]


def test_pieces_in_the_ledger_are_not_relaxed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dao_core.screening.relaxed_hull.CHUNK", 2)
    ledger = Ledger(tmp_path)
    first = relaxed_hull(PHASES, ["Na", "Cl"], ByElement(frozenset({"NaCl"})), ledger=ledger)
    assert len(list((tmp_path / "phases").glob("*/manifest.json"))) == 2

    class Unwilling(ByElement):
        def compute(self, _):
            raise AssertionError("finished work was repeated")

    again = relaxed_hull(PHASES, ["Na", "Cl"], Unwilling(), ledger=ledger)
    assert again.left_out == first.left_out
    assert list(again.hull.phases()) == list(first.hull.phases())


def test_a_phase_of_the_same_name_and_place_but_other_elements_is_relaxed_anew(tmp_path: Path) -> None:
    """A database that was built anew may number its rows anew."""
    ledger = Ledger(tmp_path)
    for number, symbol in ((11, "Na"), (17, "Cl")):
        bad = frozenset({"Na"})
        found = relaxed_hull([Phase("p-1", single(number), 0.0, -1.0)], [symbol], ByElement(bad), ledger=ledger)
        assert list(found.left_out) == (["p-1"] if symbol == "Na" else [])
