from __future__ import annotations

import re

import numpy as np
import pytest

from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.steps.clean import CleanSettings, clean
from tests.helpers.records import element, perovskite, record, rocksalt


def broken(name: str, **changes: object) -> CrysRecord:
    out = record(name, perovskite(), -7.0)
    for field, value in changes.items():
        setattr(out, field, value)
    return out


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lattice": np.full((3, 3), np.nan)}, "NaN"),
        ({"frac_coords": np.full((5, 3), np.inf)}, "NaN"),
        ({"lattice": np.zeros((3, 3))}, "A\\^3 per atom"),
        ({"lattice": np.eye(3) * 40}, "more than"),
        ({"energy_per_atom": float("nan")}, "energy_per_atom is NaN"),
        ({"energy_per_atom": -4e5}, "beyond"),
        ({"e_above_hull_source": float("inf")}, "e_above_hull_source"),
        ({"frac_coords": np.zeros((5, 3))}, "closer than"),
    ],
)
def test_broken_rows_are_refused_with_a_reason(changes: dict[str, object], reason: str) -> None:
    good = [record("good-1", perovskite(), -7.0), record("good-2", rocksalt(), -3.0)]
    result = clean(records_to_table([good[0], broken("bad", **changes), good[1]]), CleanSettings(min_atoms=1))
    assert list(result.refused) == ["bad"]
    assert re.search(reason, result.refused["bad"])
    assert result.sound["material_id"].to_pylist() == ["good-1", "good-2"]


def test_limits_set_aside_but_keep_for_the_hull() -> None:
    rows = [record("one", element("Na")), record("five", perovskite()), record("two", rocksalt())]
    result = clean(records_to_table(rows), CleanSettings(min_atoms=3, max_atoms=4))
    assert result.sound.num_rows == 3
    assert result.publishable.tolist() == [False, False, False]
    assert result.dropped == {
        "one": "fewer than 3 atoms",
        "five": "more than 4 atoms",
        "two": "fewer than 3 atoms",
    }
    assert clean(records_to_table(rows), CleanSettings(min_atoms=1)).publishable.all()


def test_distance_looks_across_the_border() -> None:
    near = rocksalt().replace(frac_coords=[[0.02, 0, 0], [0.97, 0, 0]])
    assert "near" in clean(records_to_table([record("near", near)]), CleanSettings()).refused


def test_no_rows() -> None:
    result = clean(records_to_table([]), CleanSettings())
    assert (result.sound.num_rows, result.refused, result.dropped) == (0, {}, {})
