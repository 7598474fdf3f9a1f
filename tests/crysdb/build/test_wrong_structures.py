"""What must not get into a table, however its cell is written; and one crystal is one, whatever cells it comes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.crysdb.build.build import build
from dao_core.crysdb.config import BuildConfig
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.table import CrysTable
from dao_core.crystal import Crystal
from tests.helpers.records import ListSource, perovskite, record, rocksalt

CONFIG = BuildConfig(clean=CleanSettings(min_atoms=1), workers=1, benchmarks=())
SHEARS = [
    np.eye(3, dtype=int),
    np.array([[1, 0, 0], [5, 1, 0], [0, 0, 1]]),
    np.array([[1, 3, -4], [0, 1, 7], [0, 0, 1]]),
]


def written_in(crystal: Crystal, shear: np.ndarray) -> Crystal:
    """The same crystal with other lattice vectors: integer combinations of its own."""
    lattice = shear @ crystal.lattice
    return Crystal(lattice, crystal.cart_coords @ np.linalg.inv(lattice), crystal.atomic_numbers)


def close_pair() -> Crystal:
    frac = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.58]]
    return Crystal(4.7 * np.eye(3), np.array(frac), np.array([19, 35, 35]))


def own_image(short: float) -> Crystal:
    return Crystal(np.diag([short, 11.0, 12.0]), np.array([[0, 0, 0], [0, 0.5, 0.5]]), np.array([3, 9]))


@pytest.mark.parametrize("shear", SHEARS, ids=["plain", "skewed", "very skewed"])
@pytest.mark.parametrize("crystal", [close_pair(), own_image(0.46)], ids=["two atoms", "its own image"])
def test_atoms_on_top_of_each_other_are_refused_in_any_cell(
    tmp_path: Path, crystal: Crystal, shear: np.ndarray
) -> None:
    rows = [
        record("bad", written_in(crystal, shear), -3.0),
        record("good", written_in(rocksalt("K", "Br", 6.6), shear), -3.0),
    ]
    report = build(CONFIG, tmp_path, sources=[ListSource(rows)])
    assert report.refused == {"atoms closer than 0.5 A": 1}
    assert [r.material_id for r in CrysTable(tmp_path / "table").records()] == ["good"]


def test_one_crystal_in_several_cells_is_one_row_and_its_duplicates(tmp_path: Path) -> None:
    cell = perovskite("Ba", "Zr", edge=4.2)
    doubled = Crystal(
        np.diag([2, 1, 1]) @ cell.lattice,
        np.concatenate([cell.frac_coords * [0.5, 1, 1], cell.frac_coords * [0.5, 1, 1] + [0.5, 0, 0]]),
        np.tile(cell.atomic_numbers, 2),
    )
    rows = [record(f"s{i}", written_in(cell, s), -8.0 + i / 100) for i, s in enumerate(SHEARS)]
    build(CONFIG, tmp_path, sources=[ListSource([*rows, record("doubled", doubled, -7.9)])])
    table = CrysTable(tmp_path / "table").read(["material_id", "duplicate_of"]).to_pylist()
    assert {r["material_id"]: r["duplicate_of"] for r in table} == {"s0": None, "s1": "s0", "s2": "s0", "doubled": "s0"}
