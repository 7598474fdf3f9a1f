"""Every door's way in: a path to its structures, whatever the format, one refusal for each that can't be read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.readers.base import NamedStructure, Refusal, Row, UnreadableError, naming
from dao_core.readers.content import Content, read_content
from dao_core.readers.plain_rows import IDS, StructureColumns, first_value, row_crystal

DEFAULT = StructureColumns()


def read_structures(path: Path | str) -> list[NamedStructure]:
    """All structures of a file, each under a name of its own.

    Args:
        path: A file of any format that is read here (`dao_core.readers.content.FORMATS`).

    Returns:
        (name, structure or refusal) in the order of the file. A file with one structure gives it the file's own name;
        frames and blocks of one with several are numbered (`run_1`), rows of a table go by their id where they have
        one. A file that can't be read at all is one refusal; nothing is raised for what stands in it.
    """
    return [NamedStructure(name, row.value) for name, row in named_rows(Path(path))]


def read_one(path: Path | str) -> Crystal:
    """The structure of a file that holds one.

    Args:
        path: A file of any format that is read here.

    Returns:
        The structure.

    Raises:
        UnreadableError: The file can't be read, or holds several structures; the message names it.
    """
    structures = read_structures(path)
    if len(structures) > 1:
        raise UnreadableError(f"{path} holds {len(structures)} structures: give a file with one")
    if isinstance(structures[0].value, Refusal):
        raise UnreadableError(naming(Path(path), UnreadableError(structures[0].value.reason)))
    return structures[0].value


def named_rows(path: Path) -> list[tuple[str, Row[Crystal | Refusal]]]:
    """`read_structures` with the notes and the other columns of each entry."""
    try:
        content = read_content(path)
        rows = [_finished(row) for row in read_rows(content)]
    except UnreadableError as error:
        return [(path.stem, Row(path.name, Refusal(path.name, naming(path, error))))]
    if not rows:
        return [(content.stem, Row(path.name, Refusal(path.name, f"{path} holds no structure")))]
    if len(rows) == 1:
        return [(content.stem, rows[0])]
    ids = [first_value(row.columns, IDS) if content.format in TABLES else None for row in rows]
    names = [f"{content.stem}_{n}" if i is None else str(i) for n, i in enumerate(ids, start=1)]
    return list(zip(names, rows, strict=True))


TABLES = ("csv", "json", "parquet", "lmdb")


def _finished(row: Row[Crystal | str | None]) -> Row[Crystal | Refusal]:
    """A row with its structure made from its columns where it was not made yet."""
    value = row.value
    if value is None:
        try:
            value = row_crystal(row.columns, DEFAULT)
        except (UnreadableError, InvalidCrystalError) as error:
            value = str(error)
    made = Refusal(row.where, value) if isinstance(value, str) else value
    return Row(row.where, made, row.columns, row.notes, row.part)


def read_rows(content: Content, start: int = 0) -> Iterator[Row[Crystal | str | None]]:
    """Entries of a file from number `start` on.

    Args:
        content: An opened file.
        start: So many entries are passed over.

    Yields:
        Rows whose value is the structure, or the reason why there is none, or None where the structure still stands in
        the row's columns (tables, whose columns a caller may know under other names).

    Raises:
        UnreadableError: The file as a whole is damaged.
    """
    name = content.path.name
    if content.format == "cif":
        from dao_core.readers.cif import read_cif

        blocks = read_cif(_text(content))
        for index, block in enumerate(blocks[start:], start=start):
            where = name if len(blocks) == 1 else f"{name} block {block.name or index + 1}"
            yield Row(where, block.value, {}, block.notes, "" if len(blocks) == 1 else f"_{index + 1}")
    elif content.format == "extxyz":
        from dao_core.readers.extxyz import read_extxyz

        yield from islice(read_extxyz(_text(content), name), start, None)
    elif content.format == "poscar":
        yield from islice(_poscar(content), start, None)
    else:
        yield from _table(content, start)


def _text(content: Content) -> str:
    assert content.text is not None
    return content.text


def _poscar(content: Content) -> Iterator[Row[Crystal | str | None]]:
    from dao_core.readers.poscar import read_poscar

    try:
        crystal, notes = read_poscar(_text(content))
    except (UnreadableError, InvalidCrystalError) as error:
        yield Row(content.path.name, str(error))
    else:
        yield Row(content.path.name, crystal, {}, notes)


def _table(content: Content, start: int) -> Iterator[Row[Crystal | str | None]]:
    name = content.path.name
    if content.format == "lmdb":
        from dao_core.readers.json_rows import plain_or_reason
        from dao_core.readers.lmdb_rows import lmdb_rows

        for _, key, fields in lmdb_rows(content.path, start):
            yield _row(f"{name} key {key}", fields if isinstance(fields, str) else plain_or_reason(fields))
        return
    if content.format == "parquet":
        from dao_core.readers.parquet_rows import read_parquet

        rows: Iterator[object] = read_parquet(content.path, start)
    elif content.format == "csv":
        from dao_core.readers.csv_rows import read_csv

        rows = islice(read_csv(_text(content)), start, None)
    else:
        from dao_core.readers.json_rows import read_json

        rows = islice(read_json(_text(content)), start, None)
    for index, row in enumerate(rows, start=start):
        yield _row(f"{name} row {index}", row)


def _row(where: str, fields: object) -> Row[Crystal | str | None]:
    if isinstance(fields, str):
        return Row(where, fields)
    assert isinstance(fields, dict)
    return Row(where, None, fields)
