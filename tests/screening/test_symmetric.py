"""Symmetry's structures beside templates in one order."""

from __future__ import annotations

import math

import pytest

from dao_core.generate.symmetry.generator import SymmetryGenerator
from dao_core.screening.symmetric import PriorCandidate, joined, symmetric_candidates
from tests.helpers.structures import cesium_chloride, reset, rocksalt, zincblende
from tests.helpers.symmetric import tiny_model


def candidate(crystal: object, probability: float, source: str, name: str = "x") -> PriorCandidate:
    return PriorCandidate(crystal, math.log(probability), source, name)  # type: ignore[arg-type]


def test_sources_are_joined_by_probability() -> None:
    templates = [candidate(rocksalt(), 0.5, "template", "t1"), candidate(zincblende("Na", "Cl", 5.6), 0.1, "template")]
    symmetry = [candidate(cesium_chloride("Na", "Cl", 3.5), 0.3, "symmetry")]
    found = joined(templates, symmetry)
    assert [round(math.exp(c.log_prior), 6) for c in found] == [0.5, 0.3, 0.1]


def test_one_structure_of_two_sources_counts_once_and_for_both() -> None:
    found = joined(
        [candidate(rocksalt(), 0.5, "template", "t1")], [candidate(reset(rocksalt(), 3), 0.4, "symmetry", "225")]
    )
    assert len(found) == 1
    assert math.exp(found[0].log_prior) == pytest.approx(1 - 0.5 * 0.6)
    assert (found[0].name, found[0].also) == ("t1", ("225",))


def test_repeats_of_one_source_don_t_add_up() -> None:
    found = joined([candidate(rocksalt(), 0.5, "template"), candidate(reset(rocksalt(), 1), 0.4, "template")])
    assert [math.exp(c.log_prior) for c in found] == [pytest.approx(0.5)]


def test_cells_are_weighed_by_their_share_and_refusals_counted() -> None:
    cells = [{"Na": 1, "Cl": 1}, {"Na": 2, "Cl": 2}]
    generator = SymmetryGenerator(tiny_model())
    even, _ = symmetric_candidates(generator, cells, lambda _cell: 1.0, 8)
    rare, _ = symmetric_candidates(generator, cells, lambda cell: 1.0 if cell["Na"] == 1 else 1e-6, 8)
    assert len(even) == len(rare) == 8
    assert [c.log_prior for c in even] == sorted((c.log_prior for c in even), reverse=True)
    assert {c.crystal.n_atoms for c in rare[:4]} == {2}
    none, refused = symmetric_candidates(generator, [{"Na": 1, "Cl": 1}], lambda _cell: 1.0, 8, spacegroup=62)
    assert none == []
    assert any("don't add up" in reason for reason in refused)
