"""The shipped index."""

from __future__ import annotations

from dao_core.generate.templates.aflow import aflow_index
from dao_core.matching.rms import compare, reduce_crystal
from tests.helpers.structures import perovskite, rocksalt


def test_default_index_knows_the_famous_ones() -> None:
    index = aflow_index()
    assert "AFLOW" in index.source
    for wanted in (rocksalt(), perovskite()):
        first = index.query(wanted.composition, 5)[0].crystal
        assert compare(reduce_crystal(first), reduce_crystal(wanted)).rms is not None
