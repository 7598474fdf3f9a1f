from __future__ import annotations

import re

import numpy as np
import pytest

from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.steps.clean import CleanSettings, clean
from dao_core.crystal import Crystal
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
        ({"forces": np.full((5, 3), np.nan)}, "forces with NaN"),
        ({"stress": np.diag([0.0, 0.0, np.inf])}, "stress with NaN"),
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


def test_overlaps_are_found_in_a_skewed_cell_and_with_an_atoms_own_image() -> None:
    cubic = np.diag([4.4, 4.4, 4.4])
    frac = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.1, 0, 0], [0.6, 0.5, 0.5]])  # 0.44 angstrom apart
    skewed = np.array([[1, 0, 0], [0, 1, 0], [5, -3, 1]]) @ cubic
    cells = {
        "cubic": Crystal(cubic, frac, np.array([19, 9, 19, 9])),
        "skewed": Crystal(skewed, frac @ cubic @ np.linalg.inv(skewed), np.array([19, 9, 19, 9])),
        "own image": Crystal(np.diag([0.47, 9.0, 11.0]), np.array([[0, 0, 0], [0, 0.5, 0.5]]), np.array([19, 9])),
        "one atom": Crystal(np.diag([0.47, 9.0, 11.0]), np.zeros((1, 3)), np.array([19])),
    }
    rows = [record(name, crystal) for name, crystal in cells.items()]
    result = clean(records_to_table([*rows, record("good", rocksalt())]), CleanSettings(min_atoms=1))
    assert result.refused == dict.fromkeys(cells, "atoms closer than 0.5 A")


def test_no_rows() -> None:
    result = clean(records_to_table([]), CleanSettings())
    assert (result.sound.num_rows, result.refused, result.dropped) == (0, {}, {})
