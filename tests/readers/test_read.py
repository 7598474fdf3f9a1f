"""Names of structures, one of several, and refusals beside what could be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dao_core.crystal import Crystal
from dao_core.readers.base import ReadingNote, Refusal, UnreadableError
from dao_core.readers.names import distinct_names
from dao_core.readers.read import named_rows, read_one, read_structures, rows_of_files
from tests.helpers.cif_text import cif
from tests.helpers.structures import perovskite, rocksalt

SALT = cif("4.1 4.1 4.1", ["K1 0 0 0", "Br1 .5 .5 .5"])
BAD = cif("4.1 4.1 4.1", ["K1 0 0 0", "Wat1 .5 .5 .5"])


def test_one_structure_has_the_file_s_name_several_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "one.cif").write_text(SALT)
    (tmp_path / "two.cif").write_text(SALT + BAD.replace("data_made", "data_second"))
    (tmp_path / "POSCAR").write_text(rocksalt().to_pymatgen().to(fmt="poscar"))
    assert [name for name, _ in read_structures(tmp_path / "one.cif")] == ["one"]
    assert [name for name, _ in read_structures(str(tmp_path / "POSCAR"))] == ["POSCAR"]
    first, second = read_structures(tmp_path / "two.cif")
    assert (first.name, second.name) == ("two_1", "two_2")
    assert isinstance(first.value, Crystal)
    assert isinstance(second.value, Refusal)
    assert second.value.row == "two.cif block second"


def test_reading_the_one_structure_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "one.cif").write_text(SALT)
    (tmp_path / "two.cif").write_text(SALT + SALT.replace("data_made", "data_second"))
    (tmp_path / "bad.cif").write_text(BAD)
    assert read_one(tmp_path / "one.cif").formula_reduced == "KBr"
    with pytest.raises(UnreadableError, match=r"two\.cif holds 2 structures"):
        read_one(tmp_path / "two.cif")
    with pytest.raises(UnreadableError, match=r"bad\.cif: site label 'Wat1'"):
        read_one(tmp_path / "bad.cif")
    overlap = rocksalt().replace(frac_coords=[[0, 0, 0], [0.05, 0, 0]])
    (tmp_path / "POSCAR").write_text(overlap.to_pymatgen().to(fmt="poscar"))
    with pytest.raises(UnreadableError, match=r"POSCAR: atoms 0\.\d\d A apart: correct the positions"):
        read_one(tmp_path / "POSCAR")


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder, text in (("a", SALT), ("b", BAD)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.cif").write_text(text)
    (tmp_path / "y.cif").write_text(SALT)
    paths = [tmp_path / "a" / "x.cif", tmp_path / "b" / "x.cif", tmp_path / "y.cif"]
    assert [row.where for _, row in rows_of_files(paths)] == [str(paths[0]), str(paths[1]), "y.cif"]
    assert [row.where for _, row in rows_of_files(paths[1:])] == ["x.cif", "y.cif"]


def test_notes_come_with_the_structure(tmp_path: Path) -> None:
    (tmp_path / "d.cif").write_text(SALT.replace("Br1", "D1"))
    ((_, row),) = named_rows(tmp_path / "d.cif")
    assert row.notes == ("D is read as H",)


def test_notes_are_warnings_in_python(tmp_path: Path) -> None:
    (tmp_path / "d.cif").write_text(SALT.replace("Br1", "D1"))
    with pytest.warns(ReadingNote, match=r"d\.cif: D is read as H"):
        ((_, value),) = read_structures(tmp_path / "d.cif")
    with pytest.warns(ReadingNote, match=r"d\.cif: D is read as H"):
        assert read_one(tmp_path / "d.cif").formula_reduced == "KH"
    assert isinstance(value, Crystal)
    table = 'id,cif\na,"' + SALT.replace("Br1", "D1") + '"\n'
    (tmp_path / "d.csv").write_text(table)
    with pytest.warns(ReadingNote, match=r"d\.csv row 0: D is read as H"):
        read_structures(tmp_path / "d.csv")


def test_rows_of_one_id_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id,cif\n" + "".join(f'{i},"{SALT}"\n' for i in ("a", "a", "a_2", "a")))
    found = named_rows(tmp_path / "x.csv")
    assert [name for name, _ in found] == ["a", "a_3", "a_2", "a_4"]
    assert [bool(row.notes) for _, row in found] == [False, True, False, True]
    assert "the id 'a' stands in several rows" in found[1][1].notes[0]


def test_file_names_are_safe_and_distinct() -> None:
    names = ["a", "a", "A", "x/y", "../up", "con", "", "a b", "Ca(OH)2", "é", "n" * 300, "晶" * 200, "a_2"]
    found = distinct_names(names)
    assert len({n.lower() for n in found}) == len(names)
    assert found[:3] == ["a", "a_2", "A_3"]
    assert found[3:10] == ["x_y", "up", "con_", "structure", "a_b", "Ca_OH_2", "é"]
    assert all("/" not in n and n not in (".", "..") and len(n.encode()) <= 125 for n in found)


def test_an_empty_table_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    ((_, value),) = read_structures(tmp_path / "x.json")
    assert isinstance(value, Refusal)
    assert "holds no structure" in value.reason
    assert perovskite().n_atoms == 5


STARTS = (
    b"", b"data_x\n_cell_length_a ", b"2\nLattice=", b'[{"lattice": ', b"c\n1.0\n1 0 0\n0 1 0\n0 0 1\n", b"id,cif\na,",
    b"PAR1", b"\x1f\x8b", b"\xff\xfe", b"\x00" * 16 + b"\xde\xc0\xef\xbe",
)  # fmt: skip


@given(st.sampled_from(STARTS), st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_content_is_anything_but_a_structure_or_a_refusal(tmp_path: Path, start: bytes, rest: bytes) -> None:
    (tmp_path / "x").write_bytes(start + rest)
    for _, value in read_structures(tmp_path / "x"):
        assert isinstance(value, Crystal | Refusal)
