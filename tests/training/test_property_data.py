"""Reading a scalar column: each format, refusals by name and count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dao_core.energy.property import PropertyError
from dao_core.training.property_data import property_rows, read_property
from tests.helpers.networks import random_crystals


def frame(n: int = 4) -> pd.DataFrame:
    crystals = [c.niggli() for c in random_crystals(0, (2, 3, 4, 5)[:n])]
    return pd.DataFrame(
        {
            "lattice": [c.lattice.ravel() for c in crystals],
            "frac_coords": [c.frac_coords.ravel() for c in crystals],
            "atomic_numbers": [c.atomic_numbers for c in crystals],
            "gap": np.arange(n, dtype=float),
            "name": ["a", "b", "c", "d"][:n],
        }
    )


def test_parquet_and_csv_say_the_same(tmp_path: Path) -> None:
    crystals = [c.niggli() for c in random_crystals(0, (2, 3, 4, 5))]
    frame().to_parquet(tmp_path / "x.parquet")
    pd.DataFrame({"cif": [c.to_cif() for c in crystals], "gap": np.arange(4.0)}).to_csv(tmp_path / "x.csv")
    for name in ("x.parquet", "x.csv"):
        rows = read_property(tmp_path / name, "gap")
        assert rows.labels.tolist() == [0.0, 1.0, 2.0, 3.0]
        assert rows.groups == [c.formula_reduced for c in crystals]
        assert [c.n_atoms for c in rows.crystals] == [2, 3, 4, 5]
        np.testing.assert_allclose([c.volume for c in rows.crystals], [c.volume for c in crystals], rtol=1e-6)


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_csv_of_any_spreadsheet_is_read(tmp_path: Path, separator: str, encoding: str) -> None:
    table = frame().assign(name="Müller")
    for column in ("lattice", "frac_coords", "atomic_numbers"):
        table[column] = [str(np.asarray(value).tolist()) for value in table[column]]
    table.to_csv(tmp_path / "X.CSV", index=False, sep=separator, encoding=encoding)
    rows = read_property(tmp_path / "X.CSV", "gap")
    assert (rows.labels.tolist(), rows.refused) == ([0.0, 1.0, 2.0, 3.0], {})


def test_atoms_that_overlap_and_slabs_are_refused_as_everywhere(tmp_path: Path) -> None:
    table = frame(3)
    table["frac_coords"] = [np.zeros(len(x)) if i == 0 else x for i, x in enumerate(table.frac_coords)]
    table["pbc"] = [[True] * 3, [True, True, False], [True] * 3]
    table.to_parquet(tmp_path / "x.parquet")
    rows = read_property(tmp_path / "x.parquet", "gap")
    assert rows.labels.tolist() == [2.0]
    assert sum(rows.refused.values()) == 2


def test_a_crysdb_table_is_read(tmp_path: Path) -> None:
    from dao_core.crysdb.schema import CrysRecord
    from dao_core.crysdb.table import CrysTable

    records = [
        CrysRecord.from_crystal(c, material_id=f"a-{i}", source="s", functional="f", energy_per_atom=float(i))
        for i, c in enumerate(random_crystals(0, (2, 3)))
    ]
    from dao_core.crysdb.schema import records_to_table

    CrysTable(tmp_path / "table").publish(records_to_table(records))
    assert read_property(tmp_path / "table", "energy_per_atom").labels.tolist() == [0.0, 1.0]


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    table = frame()
    table.loc[0, "gap"] = np.nan
    table["lattice"] = [table.lattice[0], np.zeros(9), *table.lattice[2:]]
    table.to_parquet(tmp_path / "x.parquet")
    rows = read_property(tmp_path / "x.parquet", "gap", max_atoms=4)
    assert rows.labels.tolist() == [2.0]
    flat = "volume per atom 0 A^3 is outside 1.0..1000.0"
    assert rows.refused == {"no value": 1, flat: 1, "more than 4 atoms": 1}


@pytest.mark.parametrize(
    ("column", "message"),
    [("colour", "has no column 'colour': it has lattice"), ("name", "column 'name' .* is not numeric")],
)
def test_a_wrong_column_is_named(tmp_path: Path, column: str, message: str) -> None:
    frame().to_parquet(tmp_path / "x.parquet")
    with pytest.raises(PropertyError, match=message):
        read_property(tmp_path / "x.parquet", column)


def test_files_that_are_no_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PropertyError, match="does not exist"):
        read_property(tmp_path / "x.parquet", "gap")
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(PropertyError, match=r"x\.txt is empty"):
        read_property(tmp_path / "x.txt", "gap")
    frame()[["gap"]].to_parquet(tmp_path / "y.parquet")
    with pytest.raises(PropertyError, match="no lattice, frac_coords among the columns"):
        read_property(tmp_path / "y.parquet", "gap")
    with pytest.raises(PropertyError, match="y has no structures"):
        property_rows(frame()[["gap"]], "gap", "y")
    empty = frame()
    empty["gap"] = np.nan
    empty.to_parquet(tmp_path / "z.parquet")
    with pytest.raises(PropertyError, match="no usable row"):
        read_property(tmp_path / "z.parquet", "gap")


def test_a_table_in_memory_is_read_as_its_file_is(tmp_path: Path) -> None:
    table = frame()
    table.loc[1, "gap"] = np.inf
    table.to_parquet(tmp_path / "x.parquet")
    here, there = property_rows(table, "gap", "table"), read_property(tmp_path / "x.parquet", "gap")
    assert here.labels.tolist() == there.labels.tolist() == [0.0, 2.0, 3.0]
    assert here.refused == there.refused == {"no value": 1}
    table["atomic_numbers"] = [[11.5, 17], *table.atomic_numbers[1:]]
    table["pbc"] = [np.nan, np.nan, "T T F", np.nan]
    table = table.astype({"atomic_numbers": object})
    strict = property_rows(table, "gap", "table")
    assert strict.labels.tolist() == [3.0]
    assert sorted(strict.refused) == [
        "11.5 is no atomic number: give whole numbers or symbols", "no value",
        "pbc='T T F': not periodic in three directions, so no crystal; set it to T T T where it is one",
    ]  # fmt: skip
    with pytest.raises(PropertyError, match="table has no column 'hardness'"):
        property_rows(table, "hardness", "table")
