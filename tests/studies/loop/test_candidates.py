"""Candidates: all small cells once, no crystal twice, order by energy and spread."""

from __future__ import annotations

from itertools import pairwise
from math import gcd
from pathlib import Path

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.predictor import DaoPotential, Prediction
from dao_core.hull.label import EnergyLabel
from dao_core.studies.loop.candidates import ranked, relaxed_candidates, round_cells, ternary_cells
from dao_core.studies.loop.phases import PhaseTable
from dao_core.studies.loop.settings import LoopSettings

SYSTEM = ("Na", "Zn", "Ge")


def test_every_ratio_of_small_integers_is_a_cell_once() -> None:
    cells = ternary_cells(SYSTEM, 6)
    amounts = {tuple(c.values()) for c in cells}
    expected = {
        (a, b, c) for a in range(1, 6) for b in range(1, 6) for c in range(1, 6) if a + b + c <= 6 and gcd(a, b, c) == 1
    }
    assert amounts == expected
    assert len(cells) == len(expected)
    assert all(sum(a.values()) <= sum(b.values()) for a, b in pairwise(cells))


def test_cells_of_a_round_depend_on_seed_and_round_alone() -> None:
    settings = LoopSettings(system=SYSTEM, max_atoms=8, cells=5)
    assert round_cells(settings, 1, 2) == round_cells(settings, 1, 2)
    assert round_cells(settings, 1, 2) != round_cells(settings, 1, 3)
    assert round_cells(settings, 1, 2) != round_cells(settings, 2, 2)
    assert len(round_cells(settings, 0, 0)) == 5


def rock_salt(edge: float) -> Crystal:
    half = edge / 2
    lattice = np.array([[0, half, half], [half, 0, half], [half, half, 0]])
    return Crystal(lattice, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([12, 8]))


def test_a_crystal_is_kept_once_and_not_again_after_it_was_validated() -> None:
    predictor = DaoPotential.load()
    twice = [rock_salt(4.2), rock_salt(4.25)]
    kept = relaxed_candidates(twice, predictor, 0, [])
    assert len(kept) == 1
    assert relaxed_candidates(twice, predictor, 0, kept) == []
    assert relaxed_candidates([], predictor, 0, []) == []


class Spread(DaoPotential):
    """Predictions that the test chooses."""

    def __init__(self, *pairs: tuple[float, float]) -> None:
        self.pairs = pairs

    def predict(self, crystals: object) -> list[Prediction]:  # noqa: ARG002
        return [Prediction(energy, std, 0.0) for energy, std in self.pairs]


@pytest.mark.parametrize(("optimism", "order"), [(0.0, [0, 1]), (1.0, [1, 0])])
def test_optimism_prefers_what_is_uncertain(tmp_path: Path, optimism: float, order: list[int]) -> None:
    known = [
        ("mg", Crystal(np.eye(3) * 3.2, np.zeros((1, 3)), np.array([12])), -1.5),
        ("o", Crystal(np.eye(3) * 3.2, np.zeros((1, 3)), np.array([8])), -4.9),
        ("mgo", rock_salt(4.2), -6.2),
    ]
    hull = PhaseTable(tmp_path / "crysdb", EnergyLabel("judge"), known).hull()
    crystals = [rock_salt(4.2), rock_salt(4.4)]
    found = ranked(crystals, Spread((-2.9, 0.05), (-2.8, 0.3)), hull, optimism)
    assert [crystals.index(c.crystal) for c in found] == order
    # MgO lies at -6.2 + (1.5 + 4.9) / 2 = -3.0 on the hull
    assert {round(c.predicted_above_hull, 6) for c in found} == {0.1, 0.2}
