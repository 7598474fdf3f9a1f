"""The key columns of a table are the keys of its rows."""

from __future__ import annotations

from dao_core.crysdb.schema import records_to_table
from dao_core.crysdb.steps.keys import key_columns
from dao_core.matching.structure_key import keys_of
from tests.helpers.records import perovskite, record, rocksalt


def test_columns_are_filled() -> None:
    crystals = [rocksalt(), perovskite()]
    keys = [keys_of(c.lattice, c.frac_coords, c.atomic_numbers).structure_key for c in crystals]
    table = key_columns(records_to_table([record("a", rocksalt()), record("b", perovskite())]))
    assert table["spacegroup_number"].to_pylist() == [225, 221]
    assert table["structure_key"].to_pylist() == keys
    assert table["prototype_key"].null_count == 0
