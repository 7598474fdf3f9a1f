"""The shipped index."""

from __future__ import annotations

from dao_core.evaluate.matching_kernel import compare, reduce_crystal
from dao_core.generate.templates import TemplateIndex
from tests.evaluate.structures import perovskite, rocksalt


def test_default_index_knows_the_famous_ones() -> None:
    index = TemplateIndex.default()
    assert "AFLOW" in index.source
    for wanted in (rocksalt(), perovskite()):
        first = index.query(wanted.composition, 5)[0].crystal
        assert compare(reduce_crystal(first), reduce_crystal(wanted)).rms is not None
