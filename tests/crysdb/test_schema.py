from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from dao_core.crysdb import schema as module
from dao_core.crysdb.schema import (
    COLUMNS,
    CrysRecord,
    SchemaError,
    conform,
    records_to_table,
    table_to_records,
)
from tests.helpers.records import perovskite, record, rocksalt, salt_records


def test_round_trip_keeps_every_field() -> None:
    forces = np.arange(6.0).reshape(2, 3)
    full = record(
        "a",
        rocksalt(),
        -3.25,
        energy_correction_per_atom=-0.1,
        e_above_hull_source=0.0,
        forces=forces,
        stress=np.eye(3) * 0.01,
        leaks_into=["mp_20:structure"],
        parent_id="b",
        relaxation="converged",
        is_stable=True,
        spacegroup_number=225,
    )
    back = table_to_records(records_to_table([full, record("b", perovskite())]))
    assert np.array_equal(back[0].forces, forces)
    assert np.array_equal(back[0].stress, np.eye(3) * 0.01)
    for name, value in vars(full).items():
        if not isinstance(value, np.ndarray):
            assert getattr(back[0], name) == value, name
    assert np.array_equal(back[0].frac_coords, full.frac_coords)
    assert np.array_equal(back[0].lattice, full.lattice)
    assert (back[1].forces, back[1].energy_per_atom, back[1].leaks_into) == (None, None, [])


def test_table_has_the_schema_and_derived_columns() -> None:
    table = records_to_table(salt_records())
    assert table.schema == module.SCHEMA
    assert tuple(table.column_names) == COLUMNS
    row = table.slice(5, 1).to_pylist()[0]
    assert (row["formula_reduced"], row["chemsys"], row["n_atoms"]) == ("SrTiO3", "O-Sr-Ti", 5)


def test_no_rows_is_a_table_too() -> None:
    table = records_to_table([])
    assert table.num_rows == 0
    assert table_to_records(table) == []


def test_conform_fills_and_refuses() -> None:
    table = records_to_table(salt_records())
    part = conform(table.select(["lattice", "material_id"]).cast(_variable_lattice(table)))
    assert part.schema == module.SCHEMA
    assert part["energy_per_atom"].null_count == part.num_rows
    with pytest.raises(SchemaError, match="colour"):
        conform(table.append_column("colour", pa.array(["red"] * table.num_rows)))
    with pytest.raises(SchemaError, match="energy_per_atom"):
        conform(pa.table({"energy_per_atom": ["low"]}))


def _variable_lattice(table: pa.Table) -> pa.Schema:
    return pa.schema([("lattice", pa.list_(pa.float64())), table.schema.field("material_id")])


def test_wrong_values_name_the_column() -> None:
    bad = record("a", rocksalt())
    bad.spacegroup_number = 10**9
    with pytest.raises(SchemaError, match="spacegroup_number"):
        records_to_table([bad])


def test_importing_the_schema_is_light() -> None:
    code = "import sys, dao_core.crysdb.schema; sys.exit('pyarrow' in sys.modules or 'pymatgen' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_record_gives_its_crystal() -> None:
    crystal = perovskite()
    out = CrysRecord.from_crystal(crystal, material_id="a", source="s", functional="f").crystal
    assert np.array_equal(out.lattice, crystal.lattice)
