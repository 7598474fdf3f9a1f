"""CSV: marks, line breaks, separators, encodings; nothing of a cut table is taken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.readers.base import Refusal, UnreadableError
from dao_core.readers.csv_rows import read_csv
from dao_core.readers.read import read_structures
from tests.helpers.structures import perovskite, rocksalt


def table(separator: str = ",", end: str = "\n") -> str:
    crystal = rocksalt()
    row = [
        "a",
        *(f'"{json.dumps(x.tolist())}"' for x in (crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)),
        "-3.25",
    ]
    header = ["material_id", "lattice", "frac_coords", "atomic_numbers", "energy_per_atom"]
    lines = [separator.join(header), separator.join(row), separator.join(["b", *row[1:]])]
    return end.join(lines) + end


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_as_programs_write_them(tmp_path: Path, separator: str, end: str, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes(table(separator, end).encode(encoding))
    found = read_structures(tmp_path / "t.csv")
    assert [name for name, _ in found] == ["a", "b"]
    for _, value in found:
        assert isinstance(value, Crystal)
        np.testing.assert_allclose(value.lattice, rocksalt().lattice)


def test_a_cif_column(tmp_path: Path) -> None:
    cells = [f'"{c.to_cif().replace(chr(34), chr(34) * 2)}"' for c in (rocksalt(), perovskite())]
    (tmp_path / "t.csv").write_text("id,cif\n" + "".join(f"{i},{c}\n" for i, c in enumerate(cells)))
    found = read_structures(tmp_path / "t.csv")
    assert [(n, v.formula_reduced) for n, v in found if isinstance(v, Crystal)] == [("0", "NaCl"), ("1", "SrTiO3")]


def test_an_empty_cell_is_named_by_row_and_column(tmp_path: Path) -> None:
    cell = f'"{rocksalt().to_cif().replace(chr(34), chr(34) * 2)}"'
    (tmp_path / "t.csv").write_text(f"id,cif\na,{cell}\nb, \n")
    whole, empty = (value for _, value in read_structures(tmp_path / "t.csv"))
    assert isinstance(whole, Crystal)
    assert empty == Refusal("t.csv row 1", "cif empty in this row: fill it in, or remove the row")
    (tmp_path / "u.csv").write_text("id,cif,lattice,frac_coords,species\na,,,,\n")
    ((_, none),) = read_structures(tmp_path / "u.csv")
    assert isinstance(none, Refusal)
    assert none.reason.startswith("cif and lattice and frac_coords and species empty in this row")


def test_every_cut_leaves_whole_rows() -> None:
    text = table()
    whole = rocksalt()
    for end in range(text.index("\n") + 1, len(text)):
        rows = list(read_csv(text[:end]))
        for row in rows:
            if isinstance(row, dict):
                assert row["atomic_numbers"] == whole.atomic_numbers.tolist()
                assert row["energy_per_atom"] == "-3.25"
        assert len(rows) <= 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a,[1", "2 values for 3 columns"),
        ("a,b,c,d", "4 values for 3 columns"),
        ("a,[1;2],x", "unreadable list"),
    ],
)
def test_broken_rows_say_why(line: str, reason: str) -> None:
    (row,) = read_csv(f"id,lattice,note\n{line}\n")
    assert isinstance(row, str)
    assert reason in row


def test_blank_lines_above_the_header() -> None:
    assert list(read_csv("\n  \nid,note\na,b\n")) == [{"id": "a", "note": "b"}]


def test_an_open_quote_ends_the_table_with_a_reason() -> None:
    rows = list(read_csv('id,cif\na,"x"\nb,"data_'))
    assert isinstance(rows[0], dict)
    assert "the file may be cut" in str(rows[1])


def test_a_header_with_a_stray_quote_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,"lattice"x,frac_coords,lattice\na,b,c,d\n')
    ((_, value),) = read_structures(tmp_path / "t.csv")
    assert isinstance(value, Refusal)
    assert "the header is unreadable" in value.reason


def test_a_header_that_names_a_column_twice_is_refused() -> None:
    with pytest.raises(UnreadableError, match="'lattice' twice"):
        list(read_csv("id,lattice,lattice\na,b,c\n"))


def test_a_table_without_structures_is_none_of_the_formats(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,gap\na,1\n")
    ((_, value),) = read_structures(tmp_path / "t.csv")
    assert isinstance(value, Refusal)
    assert "none of the formats that are read (CIF, extended xyz" in value.reason
