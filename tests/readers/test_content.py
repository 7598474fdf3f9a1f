"""Formats are recognised by what stands in a file; packing and endings are not believed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dao_core.crystal import Crystal
from dao_core.readers.base import Refusal, UnreadableError
from dao_core.readers.content import read_content, read_text, recognise
from dao_core.readers.read import read_structures
from tests.helpers.structures import rocksalt

ROW = {
    "material_id": "a", "lattice": rocksalt().lattice.ravel().tolist(),
    "frac_coords": rocksalt().frac_coords.ravel().tolist(), "atomic_numbers": rocksalt().atomic_numbers.tolist(),
}  # fmt: skip
TEXTS = {
    "cif": rocksalt().to_cif(),
    "extxyz": rocksalt().to_extxyz(),
    "poscar": rocksalt().to_pymatgen().to(fmt="poscar"),
    "json": json.dumps(ROW),
    "csv": "cif,id\n\"{}\",a\n".format(rocksalt().to_cif().replace('"', '""')),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_wrong_ending_does_not_matter(tmp_path: Path, name: str, packed: bool) -> None:
    path = tmp_path / "structure.dat"
    path.write_bytes(gzip.compress(TEXTS[name].encode()) if packed else TEXTS[name].encode())
    assert read_content(path).format == name
    ((given_name, value),) = read_structures(path)
    assert isinstance(value, Crystal)
    assert value.composition == rocksalt().composition
    assert given_name == "structure"


def test_tables_of_crysdb_are_read_too(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([ROW, {**ROW, "material_id": "b"}]), tmp_path / "t.parquet")
    found = read_structures(tmp_path / "t.parquet")
    assert [name for name, _ in found] == ["a", "b"]
    assert all(isinstance(v, Crystal) for _, v in found)


@pytest.mark.parametrize(("title", "scale"), [("1234", "1.0"), ("", "1"), ("   ", "1.0")])
def test_a_poscar_may_have_a_number_or_nothing_as_its_title(title: str, scale: str) -> None:
    below = TEXTS["poscar"].split("\n", 2)[2]
    assert recognise(f"{title}\n{scale}\n{below}") == "poscar"


@pytest.mark.parametrize("text", ["", "hello\n", "1,2,3\n", "<html></html>", "#!/bin/sh\nls\n", "a b c\n1 2 3\n"])
def test_other_texts_are_told_the_formats(text: str) -> None:
    with pytest.raises(UnreadableError, match=r"CIF, extended xyz, POSCAR, CSV, JSON, Parquet or LMDB"):
        recognise(text)


def test_damaged_files_are_refusals_that_name_the_file(tmp_path: Path) -> None:
    packed = gzip.compress(TEXTS["cif"].encode(), mtime=0)
    for name, content, reason in (
        ("empty.cif", b"", "is empty"),
        ("lfs.cif", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "git lfs pull"),
        ("cut.cif.gz", packed[:-20], "truncated or damaged gzip"),
        ("none.cif.gz", TEXTS["cif"].encode(), "not gzip data"),
        ("bytes.cif", bytes(range(256)), "not text"),
        ("x.lmdb", b"no database" * 100, "damaged LMDB file"),
        ("x.parquet", b"PAR1" + b"x" * 100, "truncated Parquet"),
    ):
        (tmp_path / name).write_bytes(content)
        ((_, value),) = read_structures(tmp_path / name)
        assert isinstance(value, Refusal)
        assert reason in value.reason
        assert name in value.reason
    ((_, value),) = read_structures(tmp_path / "missing.cif")
    assert isinstance(value, Refusal)
    assert "is not a file: correct the path" in value.reason
    ((_, value),) = read_structures(tmp_path)
    assert isinstance(value, Refusal)


def test_a_file_that_unpacks_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dao_core.readers import content

    monkeypatch.setattr(content, "MAX_BYTES", 1000)
    (tmp_path / "bomb.cif.gz").write_bytes(gzip.compress(b" " * 100_000))
    with pytest.raises(UnreadableError, match="unpacks to more than"):
        read_text(tmp_path / "bomb.cif.gz")
