from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal, Source, SourceError
from dao_core.crysdb.sources.files import FileSource
from dao_core.crysdb.sources.mapping import ColumnMapping, MappingOptions
from dao_core.crystal import Crystal
from tests.helpers.records import perovskite, rocksalt


def read(path: Path | list[Path], **options: object) -> list[CrysRecord | Refusal]:
    source = FileSource(path, MappingOptions.model_validate({"name": "mine", "functional": "PBE", **options}))
    assert isinstance(source, Source)
    return [item.value for item in source.iter_records()]


def ids(path: Path | list[Path]) -> list[str]:
    return [value.material_id for value in read(path) if isinstance(value, CrysRecord)]


def row(crystal: Crystal, name: object, **values: object) -> dict[str, object]:
    return {
        "material_id": name,
        "lattice": crystal.lattice.ravel().tolist(),
        "frac_coords": crystal.frac_coords.ravel().tolist(),
        "atomic_numbers": crystal.atomic_numbers.tolist(),
        **values,
    }


def test_parquet_with_its_own_values_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    own = {"formation_energy_per_atom": -2.0, "e_above_hull": 0.1, "energy_per_atom": -3.4}
    rows = [row(rocksalt(), "a", **own), row(perovskite(), "b", **dict.fromkeys(own))]
    pq.write_table(pa.Table.from_pylist(rows), path)
    first, second = read(path, license="CC BY 4.0", version="7")
    assert isinstance(first, CrysRecord)
    assert isinstance(second, CrysRecord)
    assert (first.formation_energy_per_atom_source, first.e_above_hull_source) == (-2.0, 0.1)
    assert (first.formation_energy_per_atom, first.e_above_hull) == (None, None)
    assert (first.energy_per_atom, first.license, first.source_version) == (-3.4, "CC BY 4.0", "7")
    assert second.energy_per_atom is None
    assert np.allclose(second.lattice, perovskite().lattice)


def test_foreign_columns_through_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    given = row(rocksalt(), 7, total=-6.8, scheme="megnet")
    given["id"] = given.pop("material_id")
    pq.write_table(pa.Table.from_pylist([given]), path)
    mapping = ColumnMapping(energy="total", functional_column="scheme", id_prefix="p-")
    (record,) = read(path, mapping=mapping)
    assert isinstance(record, CrysRecord)
    assert (record.material_id, record.energy_per_atom, record.functional) == ("p-7", -3.4, "PBE:megnet")


def test_a_column_that_no_row_has_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "f.xyz").write_text(rocksalt().to_extxyz().replace('pbc="T T T"', "REF_energy=-6.8"))
    (record,) = read(tmp_path / "f.xyz", mapping={"energy": "REF_energy"})
    assert isinstance(record, CrysRecord)
    assert record.energy_per_atom == -3.4
    for mapping in ({"energy": "REF_enrgy"}, {"functional_column": "xc"}, {"forces": "f"}, {"virial": "REF_virial"}):
        with pytest.raises(SourceError, match=rf"no row has the column of {next(iter(mapping))} \("):
            read(tmp_path / "f.xyz", mapping=mapping)
    # settings that went through a file or a queue are still the defaults
    again = ColumnMapping.model_validate(ColumnMapping(energy="REF_energy").model_dump())
    assert len(read(tmp_path / "f.xyz", mapping=again)) == 1


def test_one_unreadable_file_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(rocksalt().to_cif()[:300])
    (tmp_path / "b.cif").write_bytes(b"# \xfcber\n" + perovskite().to_cif().encode())
    (tmp_path / "c.cif").write_text(rocksalt().to_cif() + rocksalt().to_cif().replace("data_NaCl", "data_again"))
    (tmp_path / "d.cif.gz").write_bytes(gzip.compress(b"x" * 1000)[:-9])
    (tmp_path / "POSCAR").write_text(rocksalt().to_pymatgen().to(fmt="poscar"))
    found = read(tmp_path)
    names = [r.material_id if isinstance(r, CrysRecord) else r.row for r in found]
    assert names == ["POSCAR", "a.cif", "b", "c_1", "c_2", "d.cif.gz"]
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.cif").write_text("data_x\n")
    (tmp_path / "only" / "b.cif").write_text("nothing")
    with pytest.raises(SourceError, match="none of 2 files could be read"):
        read(tmp_path / "only")


def test_stress_from_a_virial(tmp_path: Path) -> None:
    salt = rocksalt()
    virial = " ".join(str(-salt.volume * x) for x in (1, 6, 5, 6, 2, 4, 5, 4, 3))
    (tmp_path / "f.xyz").write_text(salt.to_extxyz().replace('pbc="T T T"', f'virial="{virial}"'))
    (record,) = read(tmp_path / "f.xyz")
    assert isinstance(record, CrysRecord)
    assert record.stress is not None
    np.testing.assert_allclose(record.stress, [[1, 6, 5], [6, 2, 4], [5, 4, 3]])


def test_csv_with_a_cif_column_keeps_the_good_rows(tmp_path: Path) -> None:
    path = tmp_path / "test.csv.gz"
    with gzip.open(path, "wt", newline="") as handle:
        writer = csv.DictWriter(handle, ["material_id", "cif", "formation_energy_per_atom"])
        writer.writeheader()
        writer.writerow({"material_id": "a", "cif": rocksalt().to_cif(), "formation_energy_per_atom": "-2.0"})
        writer.writerow({"material_id": "b", "cif": "data_nothing", "formation_energy_per_atom": ""})
        writer.writerow({"material_id": "c", "cif": perovskite().to_cif(), "formation_energy_per_atom": "nan"})
        writer.writerow({"material_id": "d", "cif": perovskite().to_cif(), "formation_energy_per_atom": ""})
    out = read(path)
    assert [type(v).__name__ for v in out] == ["CrysRecord", "Refusal", "Refusal", "CrysRecord"]
    assert isinstance(out[1], Refusal)
    assert isinstance(out[2], Refusal)
    assert out[1].row == "test.csv.gz row 1"
    assert "unreadable CIF" in out[1].reason
    assert "formation_energy_per_atom" in out[2].reason


def test_files_of_one_name_in_several_folders_and_counted_rows_have_ids_of_their_own(tmp_path: Path) -> None:
    for i, crystal in enumerate((rocksalt(), rocksalt("K", "O", 5.3)), 1):
        (tmp_path / f"calc{i}").mkdir()
        (tmp_path / f"calc{i}" / "POSCAR").write_text(crystal.to_pymatgen().to(fmt="poscar"))
    assert ids(tmp_path) == ["calc1-POSCAR", "calc2-POSCAR"]
    paths = []
    for name in ("train", "val"):
        paths.append(tmp_path / f"{name}.csv")
        pd.DataFrame({"cif": [rocksalt().to_cif()]}).to_csv(paths[-1])  # with pandas' own index
    assert ids(paths) == ["train-0", "val-0"]
    named = pd.DataFrame({"cif": [rocksalt().to_cif()]}, index=["mp-1"])
    named.to_csv(paths[0])
    assert ids(paths[0]) == ["mp-1"]


def test_files_that_are_called_alike_wherever_they_lie_have_ids_of_their_own(tmp_path: Path) -> None:
    paths = []
    for i, crystal in enumerate((rocksalt(), rocksalt("K", "O", 5.3)), 1):
        paths.append(tmp_path / f"calc{i}" / "POSCAR")
        paths[-1].parent.mkdir()
        paths[-1].write_text(crystal.to_pymatgen().to(fmt="poscar"))
    assert ids(paths) == ids([path.parent for path in paths]) == ["POSCAR", "calc2-POSCAR"]
    (tmp_path / "calc1" / "x.cif").write_text(rocksalt().to_cif())
    (tmp_path / "calc1" / "x.vasp").write_text(paths[1].read_text())
    assert ids(tmp_path) == ["calc1-POSCAR", "calc1-x", "calc1-x.vasp", "calc2-POSCAR"]


def test_energies_that_contradict_each_other_or_have_other_units_are_refused(tmp_path: Path) -> None:
    frame = rocksalt().to_extxyz()
    for values, reason in (
        ("energy=-6.8 energy_per_atom=-6.8", "energy -6.8 of 2 atoms and energy_per_atom -6.8 contradict each other"),
        ("energy=-0.25 energy_unit=Hartree", "energy_unit='Hartree': energies are read in eV"),
    ):
        (tmp_path / "f.xyz").write_text(frame.replace('pbc="T T T"', values))
        (refusal,) = read(tmp_path / "f.xyz")
        assert isinstance(refusal, Refusal)
        assert reason in refusal.reason
    (tmp_path / "f.xyz").write_text(frame.replace('pbc="T T T"', "energy=-6.8 energy_per_atom=-3.4 energy_unit=eV"))
    (record,) = read(tmp_path / "f.xyz")
    assert isinstance(record, CrysRecord)
    assert record.energy_per_atom == -3.4


def test_what_is_left_aside_and_understood_is_noted(tmp_path: Path) -> None:
    frame = rocksalt().to_extxyz()
    named = frame.replace('pbc="T T T"', "REF_energy=-6.8 Virial=x fermi=2 run_type=GGA").replace("Na ", "D ")
    other = frame.replace('pbc="T T T"', "energy=-6.8 REF_energy=-6.8 run_type=R2SCAN")
    (tmp_path / "f.xyz").write_text(named + other)

    def notes(**mapping: str) -> list[tuple[str, ...]]:
        options = MappingOptions(name="mine", functional="PBE", mapping=ColumnMapping(**mapping))
        return [item.notes for item in FileSource(tmp_path / "f.xyz", options).iter_records()]

    aside = "{} is not read: if it is this structure's, name it in the mapping"
    first, second = notes()
    assert first == ("D is read as H", aside.format("REF_energy"), aside.format("Virial"))
    assert second == ("run_type differs between rows that share a hull: name it as functional_column in the mapping",)
    assert notes(energy="REF_energy", functional_column="run_type") == [("D is read as H", aside.format("Virial")), ()]


def test_a_folder_of_cifs_in_order_of_name(tmp_path: Path) -> None:
    (tmp_path / "b.cif").write_text(perovskite().to_cif())
    (tmp_path / "a.cif").write_text(rocksalt().to_cif().replace("Na", "Xx"))
    (tmp_path / "notes.txt").write_text("not a structure")
    first, second = read(tmp_path)
    assert isinstance(first, Refusal)
    assert isinstance(second, CrysRecord)
    assert second.material_id == "b"


def test_extxyz_frames_with_forces(tmp_path: Path) -> None:
    salt = rocksalt()
    lattice = " ".join(str(x) for x in salt.lattice.ravel())
    body = "\n".join(f"{s} {x} {y} {z} 0.1 0 0" for s, (x, y, z) in zip(salt.symbols, salt.cart_coords, strict=True))
    head = f'Lattice="{lattice}" Properties=species:S:1:pos:R:3:forces:R:3 energy=-6.8 '
    stress = 'stress="1 6 5 6 2 4 5 4 3" material_id=f1 pbc="T T T"'
    wrong = body.replace("Na", "Qq")
    (tmp_path / "f.xyz").write_text(f"2\n{head}{stress}\n{body}\n2\n{head}\n{wrong}\n2\n{head}\n{body}\n")
    one, two, three = read(tmp_path / "f.xyz")
    assert isinstance(one, CrysRecord)
    assert isinstance(two, Refusal)
    assert isinstance(three, CrysRecord)
    assert (one.material_id, one.energy_per_atom, one.relaxation) == ("f1", -3.4, "frame")
    assert one.forces is not None
    assert one.forces[0].tolist() == [0.1, 0, 0]
    assert one.stress is not None
    assert one.stress.tolist() == [[1, 6, 5], [6, 2, 4], [5, 4, 3]]
    assert two.row == "f.xyz frame 1"
    assert three.material_id == "f-2"


def test_pymatgen_json_structures_and_entries(tmp_path: Path) -> None:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    structure = rocksalt().to_pymatgen()
    entry = ComputedStructureEntry(structure, -6.8, correction=-0.4, entry_id="mp-1").as_dict()
    disordered = structure.copy()
    disordered.replace(0, {"Na": 0.5, "K": 0.5})
    rows = [entry, structure.as_dict(), {"structure": disordered.as_dict()}, {"sites": 3}, "text"]
    (tmp_path / "e.json").write_text(json.dumps(rows))
    first, second, *bad = read(tmp_path / "e.json")
    assert isinstance(first, CrysRecord)
    assert isinstance(second, CrysRecord)
    assert (first.material_id, first.energy_per_atom) == ("mp-1", -3.4)
    assert first.energy_correction_per_atom == pytest.approx(-0.2)
    assert second.energy_per_atom is None
    assert all(isinstance(b, Refusal) for b in bad)
    assert isinstance(bad[0], Refusal)
    assert "partially occupied" in bad[0].reason


def test_another_name_of_a_folder_is_another_input_as_ids_are_made_of_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "POSCAR").write_text(rocksalt().to_pymatgen().to(fmt="poscar"))
    options = MappingOptions(name="mine", functional="PBE")
    before = FileSource(tmp_path, options).fingerprint()
    (tmp_path / "a").rename(tmp_path / "b")
    assert ids(tmp_path) == ["b-POSCAR"]
    assert FileSource(tmp_path, options).fingerprint() != before


def test_a_cursor_with_only_bad_files_behind_it_gives_them_as_refusals(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(rocksalt().to_cif())
    for name in ("b.json", "c.json"):
        (tmp_path / name).write_text("{nonsense")
    source = FileSource(tmp_path, MappingOptions(name="mine", functional="PBE"))
    items = list(source.iter_records())
    for i, item in enumerate(items):
        assert list(source.iter_records(cursor=item.cursor)) == items[i + 1 :]


def test_cursor_continues_over_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        rows = [row(rocksalt(), f"{name}{i}") for i in range(3)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
    source = FileSource(tmp_path, MappingOptions(name="mine", functional="PBE"))
    items = list(source.iter_records())
    for i, item in enumerate(items):
        rest = [x.record.material_id for x in source.iter_records(cursor=item.cursor) if x.record]
        assert rest == [x.record.material_id for x in items[i + 1 :] if x.record]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "git lfs pull"),
        ("x.cif", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "git lfs pull"),
        ("x.json.gz", gzip.compress(b'[{"a": 1}]' * 500, mtime=0)[:-20], "truncated"),
        ("x.json.gz", b'[{"a": 1}]', "not gzip"),
        ("x.json", b'[{"a": 1}', "not whole JSON"),
        ("x.csv", b"", "empty"),
        ("x.xyz", b"two\nLattice\n", "none of the formats that are read"),
        ("x.cif", b"\xff\xfe\x00", "not text"),
        ("x.docx", b"whatever", "none of the formats that are read"),
    ],
)
def test_damaged_files_name_file_and_remedy(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        read(tmp_path / name)
    assert name in str(caught.value)


def test_truncated_parquet(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist([row(rocksalt(), str(i)) for i in range(500)]), path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(SourceError, match=r"x\.parquet is a truncated Parquet"):
        read(path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file ending in"):
        read(tmp_path)
    with pytest.raises(SourceError, match="not a file"):
        read(tmp_path / "missing.parquet")


def test_fingerprint_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a.cif"
    path.write_text(rocksalt().to_cif())
    before = FileSource(path, MappingOptions(name="m", functional="f")).fingerprint()
    assert FileSource(path, MappingOptions(name="m", functional="f")).fingerprint() == before
    assert FileSource(path, MappingOptions(name="m", functional="other")).fingerprint() != before
    path.write_text(perovskite().to_cif())
    assert FileSource(path, MappingOptions(name="m", functional="f")).fingerprint() != before


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "mapping", "rows", "energies"),
    [
        ("wbm_val.parquet", "default", 10_000, "formation_energy_per_atom_source"),
        ("oqmd/oqmd_600.json", "oqmd", 600, "formation_energy_per_atom_source"),
        ("nrel_hypothetical.parquet", "default", 1_707, "energy_per_atom"),
        ("mp_20/test_public.parquet", "mp_20", 4_299, "e_above_hull_source"),
        ("mp_entries/Mn_O_Y.json.gz", "default", 132, "energy_correction_per_atom"),
        ("forces/mptrj-random-1k.xyz", "default", 1_000, "energy_per_atom"),
        ("perov_5/val.parquet", "perov_5", 3_787, "formation_energy_per_atom_source"),
    ],
)
def test_layouts_of_the_real_files(shared_data: Path, name: str, mapping: str, rows: int, energies: str) -> None:
    out = read(shared_data / name, mapping=mapping)
    records = [v for v in out if isinstance(v, CrysRecord)]
    assert len(out) == rows
    assert len(records) == rows
    assert sum(getattr(r, energies) is not None for r in records) > 0.5 * rows
    assert len({r.material_id for r in records}) == rows
