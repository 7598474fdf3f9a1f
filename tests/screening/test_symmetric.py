"""What symmetry suggests to a search: likelier than samples, new to the templates, within a given space group."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from dao_core.generate.symmetry.checkpoint import Calibration
from dao_core.generate.symmetry.generator import SymmetryGenerator, SymmetryProposal, SymmetryProposals
from dao_core.generate.symmetry.labels import Label
from dao_core.screening.formulas import parse_formula
from dao_core.screening.proposals import Proposer
from dao_core.screening.settings import SearchSettings
from dao_core.screening.symmetric import from_symmetry
from tests.helpers.structures import cesium_chloride, reset, rocksalt, zincblende
from tests.helpers.symmetric import tiny_model

CELL = {"Na": 1, "Cl": 1}


class Suggests:
    """Stands for a symmetry model with known answers."""

    identity = "dao-symmetry-test"

    def __init__(self, *answers: tuple[Any, float]) -> None:
        self.answers = answers

    def propose_many(self, cells: list[dict[str, int]], n: int, spacegroup: int | None = None) -> list[Any]:
        label = Label(spacegroup or 225, (11, 17), ("a", "b"))
        items = [SymmetryProposal(c, label, math.log(p), 0.0, math.log(p)) for c, p in self.answers]
        return [SymmetryProposals(items[:n], {} if items else {"no sites": 1}) for _ in cells]


def proposer(symmetry: Any, templates: Any = None) -> Proposer:
    models = SimpleNamespace(generator=SimpleNamespace(symmetry=symmetry), templates=templates, library=None)
    return Proposer(parse_formula("NaCl"), models, SearchSettings(z=1))  # type: ignore[arg-type]


def test_a_structure_gets_a_place_while_it_is_likelier_than_a_sample() -> None:
    """Half of the primitive cells have one formula unit: 0.525 x 0.8 beats 1 / 4, 0.525 x 0.1 doesn't beat 0.58 / 3."""
    model = Suggests((rocksalt(), 0.8), (cesium_chloride("Na", "Cl", 3.5), 0.1))
    found = from_symmetry(proposer(model), [CELL], 1.0, 4)
    assert [p.origin for p in found.items] == ["symmetry"]
    assert found.items[0].log_prior == pytest.approx(math.log(0.525 * 0.8))
    assert found.items[0].provenance["label"] == "225 Na:a Cl:b"


def test_nothing_is_suggested_twice() -> None:
    model = Suggests((rocksalt(), 0.5), (reset(rocksalt(), 3), 0.4), (zincblende("Na", "Cl", 5.6), 0.3))
    found = from_symmetry(proposer(model), [CELL], 0.5, 10)
    assert [p.crystal for p in found.items] == [model.answers[0][0], model.answers[2][0]]


def test_probabilities_add_up_to_less_than_what_is_left() -> None:
    model = Suggests((rocksalt(), 0.9), (cesium_chloride("Na", "Cl", 3.5), 0.8))
    found = from_symmetry(proposer(model), [CELL], 0.2, 4)
    assert sum(math.exp(p.log_prior) for p in found.items) == pytest.approx(0.99 * 0.2)
    assert found.items[0].log_prior - found.items[1].log_prior == pytest.approx(math.log(0.9 / 0.8))


def test_no_more_than_the_places() -> None:
    model = Suggests((rocksalt(), 0.5), (cesium_chloride("Na", "Cl", 3.5), 0.4))
    assert len(from_symmetry(proposer(model), [CELL], 0.01, 1).items) == 1
    assert from_symmetry(proposer(model), [CELL], 0.01, 0).items == []


def test_reasons_are_told_where_nothing_is_suggested() -> None:
    found = from_symmetry(proposer(Suggests()), [CELL], 1.0, 3)
    assert (found.items, found.refused) == ([], ["NaCl: no sites"])
    assert from_symmetry(proposer(None), [CELL], 1.0, 3).refused == []


def test_a_given_space_group_is_kept() -> None:
    model = SymmetryGenerator(tiny_model())
    found = from_symmetry(proposer(model), [CELL], 1e-9, 5, spacegroup=221)
    assert found.items
    assert {p.provenance["label"].split()[0] for p in found.items} == {"221"}


def test_calibration_is_a_probability() -> None:
    calibration = Calibration(slope=2.0, offset=1.0)
    assert math.exp(calibration.log_prior(-0.5)) == pytest.approx(0.5)
    assert calibration.log_prior(-1000.0) == pytest.approx(-1999.0)
