from __future__ import annotations

import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest

from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal, SourceError
from dao_core.crysdb.sources.files import FileSource
from dao_core.crysdb.sources.mapping import MappingOptions
from tests.helpers.records import perovskite, rocksalt


def write(path: Path, values: dict[bytes, bytes]) -> Path:
    environment = lmdb.open(str(path), subdir=False, map_size=2**22, lock=False)
    with environment, environment.begin(write=True) as t:
        for key, value in values.items():
            t.put(key, value)
    return path


def ase_row(name: str, **changes: Any) -> bytes:
    """A row as the LMDB backend of ASE databases writes it: zlib over JSON."""
    crystal = rocksalt()
    positions = crystal.frac_coords @ crystal.lattice
    row = {
        "numbers": crystal.atomic_numbers.tolist(), "positions": positions.tolist(), "cell": crystal.lattice.tolist(),
        "pbc": [True] * 3, "energy": -6.8, "forces": [[0.1, 0, 0], [-0.1, 0, 0]], "stress": [1, 2, 3, 4, 5, 6],
        "key_value_pairs": {"material_id": name}, "data": {}, "unique_id": "x", **changes,
    }  # fmt: skip
    return zlib.compress(json.dumps(row).encode())


def read(path: Path, cursor: str | None = None) -> list[CrysRecord | Refusal]:
    source = FileSource(path, MappingOptions(name="mine", functional="PBE"))
    return [item.value for item in source.iter_records(cursor=cursor)]


def test_an_ase_database_gives_energy_forces_and_stress(tmp_path: Path) -> None:
    encoded = {"__ndarray__": [[3, 3], "float64", rocksalt().lattice.ravel().tolist()]}
    flags = {"__ndarray__": [[3], "bool", [True] * 3]}
    slab = {"__ndarray__": [[3], "bool", [True, True, False]]}
    values = {b"1": ase_row("a"), b"2": ase_row("b", cell=encoded, pbc=flags), b"3": ase_row("c", pbc=slab),
              b"nextid": zlib.compress(b"4")}  # fmt: skip
    first, second, third = read(write(tmp_path / "frames.aselmdb", values))
    assert isinstance(third, Refusal)
    assert third.reason == "pbc [True, True, False]: not periodic in three directions, so no crystal"
    for record, name in ((first, "a"), (second, "b")):
        assert isinstance(record, CrysRecord)
        assert (record.material_id, record.energy_per_atom, record.relaxation) == (name, -3.4, "frame")
        assert np.allclose(record.lattice, rocksalt().lattice)
        assert np.allclose(record.frac_coords, rocksalt().frac_coords)
        assert np.allclose(record.stress, [[1, 6, 5], [6, 2, 4], [5, 4, 3]])
        assert record.forces is not None
        assert record.forces[0, 0] == 0.1


def test_structures_entries_and_plain_rows(tmp_path: Path) -> None:
    structure = perovskite().to_pymatgen().as_dict()
    plain = {
        "material_id": "p",
        "lattice": rocksalt().lattice.tolist(),
        "frac_coords": rocksalt().frac_coords.tolist(),
        "species": ["Na", "Cl"],
        "e_above_hull": 0.2,
    }
    entry = {"material_id": "e", "structure": structure, "energy": -35.0, "correction": -2.0}
    values = {b"0": json.dumps(structure).encode(), b"1": json.dumps(entry).encode(), b"2": json.dumps(plain).encode()}
    bare, computed, row = read(write(tmp_path / "rows.lmdb", values))
    assert isinstance(bare, CrysRecord)
    assert isinstance(computed, CrysRecord)
    assert isinstance(row, CrysRecord)
    assert (bare.material_id, bare.n_atoms) == ("rows-0", 5)
    assert (computed.energy_per_atom, computed.energy_correction_per_atom) == (-7.0, -0.4)
    assert (row.material_id, row.e_above_hull_source) == ("p", 0.2)


def test_bad_values_are_refused_and_a_pickle_is_never_opened(tmp_path: Path) -> None:
    values = {
        b"0": pickle.dumps(_Trap()),
        b"1": b"{half",
        b"2": b"\x78\x9cbroken",
        b"3": b"[1, 2]",
        b"4": ase_row("flat", cell=[[0, 0, 0]] * 3),
        b"5": ase_row("short", stress=[1, 2]),
        b"6": ase_row("nan", energy=float("nan")),
        b"7": ase_row("good"),
    }
    out = read(write(tmp_path / "rows.lmdb", values))
    reasons = [v.reason if isinstance(v, Refusal) else "" for v in out]
    words = ("pickled", "not JSON", "damaged value", "no row", "no cell", "stress", "nan")
    assert all(word in reason for word, reason in zip(words, reasons, strict=False)), reasons
    assert isinstance(out[-1], CrysRecord)
    assert len(out) == 8


@pytest.mark.parametrize(
    "changes",
    [{"cell": "none"}, {"positions": [1, 2, 3, 4, 5]}, {"positions": None}, {"numbers": None}, {"data": [1]},
     {"pbc": "TTT"}, {"cell": {"__ndarray__": [[3, 3], "float64", [1, 2]]}}, {"numbers": [11.5, 17]}],
)  # fmt: skip
def test_a_damaged_row_of_an_ase_database_is_refused_alone(tmp_path: Path, changes: dict[str, Any]) -> None:
    values = {b"0": ase_row("first"), b"1": ase_row("damaged", **changes), b"2": ase_row("last")}
    first, damaged, last = read(write(tmp_path / "rows.aselmdb", values))
    assert isinstance(first, CrysRecord)
    assert isinstance(damaged, Refusal)
    assert isinstance(last, CrysRecord)


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was opened",)


def test_a_cursor_continues(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.lmdb", {b"%d" % i: ase_row(f"r{i}") for i in range(5)})
    whole = [v.material_id for v in read(path) if isinstance(v, CrysRecord)]
    assert [v.material_id for v in read(path, "0:3") if isinstance(v, CrysRecord)] == whole[3:]


def test_a_folder_database_is_found_by_its_data_file(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "db"), map_size=2**22) as environment, environment.begin(write=True) as t:
        t.put(b"0", ase_row("inside"))
    (record,) = read(tmp_path / "db")
    assert isinstance(record, CrysRecord)
    assert record.material_id == "inside"


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "rows.lmdb"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(SourceError, match=r"rows\.lmdb is a damaged LMDB file"):
        read(path)
