from __future__ import annotations

import numpy as np
import pytest

from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.steps.content import ContentDigest
from tests.helpers.records import perovskite, record, rocksalt, salt_records


def digest(*parts: list[CrysRecord]) -> str:
    out = ContentDigest()
    for part in parts:
        out.update(records_to_table(part))
    return out.hexdigest()


def rows() -> list[CrysRecord]:
    forces = record("f", perovskite(), -7.0, forces=np.ones((5, 3)), leaks_into=["x:structure", "y:polymorph"])
    return [*salt_records(), forces, record("bare", rocksalt())]


@pytest.mark.parametrize("cuts", [[], [1], [3], [7], [2, 3, 7]])
def test_borders_between_shards_leave_no_trace(cuts: list[int]) -> None:
    whole = rows()
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert digest(*parts) == digest(whole)


def test_a_slice_counts_as_its_own_rows_only() -> None:
    out = ContentDigest()
    out.update(records_to_table(rows()).slice(2, 3))
    assert out.hexdigest() == digest(rows()[2:5])


@pytest.mark.parametrize(
    ("name", "value"),
    [("energy_per_atom", -3.4000001), ("energy_per_atom", None), ("material_id", "test-sal"), ("license", ""),
     ("is_stable", False), ("leaks_into", ["x:structure"]), ("duplicate_of", "test-Na"), ("spacegroup_number", 1)],
)  # fmt: skip
def test_any_value_counts(name: str, value: object) -> None:
    changed = rows()
    setattr(changed[2], name, value)
    assert digest(changed) != digest(rows())


def test_order_counts_and_the_time_of_ingestion_does_not() -> None:
    later = rows()
    for r in later:
        r.ingested_at = "2031-01-01T00:00:00+00:00"
    assert digest(later) == digest(rows())
    assert digest(rows()[::-1]) != digest(rows())


def test_letters_do_not_wander_between_neighbours() -> None:
    one, other = rows(), rows()
    one[0].license, one[1].license = "ab", "c"
    other[0].license, other[1].license = "a", "bc"
    assert digest(one) != digest(other)
