"""Added structures: the lowest energy is taken, all arms get the same compositions."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.predictor import DaoPotential
from dao_core.studies.superconductors.added import add_structures, structure_for
from dao_core.studies.superconductors.settings import TcSettings
from dao_core.studies.superconductors.tc_data import CompositionTc

NBN = CompositionTc("NbN", {"Nb": 1, "N": 1}, 17.0)
ZRN = CompositionTc("ZrN", {"Zr": 1, "N": 1}, 10.0)


def rock_salt(edge: float, metal: int = 41) -> Crystal:
    half = edge / 2
    lattice = np.array([[0, half, half], [half, 0, half], [half, half, 0]])
    return Crystal(lattice, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([metal, 7]))


@pytest.fixture(scope="module")
def predictor() -> DaoPotential:
    return DaoPotential.load()


def test_the_lowest_energy_is_taken_and_what_lies_outside_is_not(predictor: DaoPotential) -> None:
    right, stretched, crushed = rock_salt(4.4), rock_salt(5.3), rock_salt(2.0)
    assert predictor.outside(crushed) is not None
    asked: list[dict[str, int]] = []

    def propose(cell: dict[str, int]) -> list[Crystal]:
        asked.append(cell)
        return [stretched, right, crushed] if sum(cell.values()) == 2 else []

    assert structure_for(NBN, propose, predictor, 4) is right
    assert asked == [{"Nb": 1, "N": 1}, {"Nb": 2, "N": 2}]
    assert structure_for(NBN, lambda _: [crushed], predictor, 2) is None


def test_a_composition_without_a_structure_from_one_arm_is_left_out_of_all(predictor: DaoPotential) -> None:
    metal = {"Nb": 41, "Zr": 40}

    def everything(cell: dict[str, int]) -> list[Crystal]:
        return [rock_salt(4.5, metal[next(s for s in cell if s != "N")])]

    def no_zirconium(cell: dict[str, int]) -> list[Crystal]:
        return [] if "Zr" in cell else everything(cell)

    arms = {"generated": everything, "templates": no_zirconium}
    packed, counts = add_structures([ZRN, NBN], arms, predictor, TcSettings(max_atoms=2, added=5))
    assert counts == {"added": 1, "nothing proposed, generated": 0, "nothing proposed, templates": 1}
    for rows in packed.values():
        assert rows.crystal(0).formula_reduced == "NbN"
        assert rows.labels["value"].tolist() == pytest.approx([np.log(17.0)])
    assert add_structures([ZRN, NBN], {"generated": everything}, predictor, TcSettings(added=1))[1]["added"] == 1
