"""Templates without the composition's own entries, of whatever order of elements; others stay."""

from __future__ import annotations

from dao_core.generate.templates.index import TemplateIndex
from dao_core.studies.left_out import own_entries, query_without
from tests.helpers.benchmark_targets import cesium_chloride, perovskite, rocksalt

KNOWN = [
    ("own", rocksalt(11, 17)), ("other polymorph", cesium_chloride(11, 17)), ("else", rocksalt(19, 35)),
    ("anions first", rocksalt(17, 11)), ("p", perovskite()),
]  # fmt: skip


def test_every_structure_of_the_composition_is_an_own_entry() -> None:
    index = TemplateIndex.build(KNOWN, source="test")
    assert set(own_entries(index, {"Na": 1, "Cl": 1})) == {"own", "other polymorph", "anions first"}
    assert own_entries(index, {"Cl": 1, "Li": 1}) == []
    assert own_entries(index, {"Na": 1, "Cl": 7}) == []


def test_the_query_uses_other_compositions_only() -> None:
    index = TemplateIndex.build(KNOWN, source="test")
    hits, n_own = query_without(index, {"Na": 1, "Cl": 1}, 5)
    assert n_own == 3
    assert {h.template_id for h in hits} == {"else"}
    assert all(h.crystal.composition == {"Cl": 1, "Na": 1} for h in hits)
