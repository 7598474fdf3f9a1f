"""Every door's way in: a path to its structures, whatever the format, one refusal for each that can't be read."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.matching.distances import closer_than, shortest_distance
from dao_core.readers.base import MIN_DISTANCE, NamedStructure, ReadingNote, Refusal, Row, UnreadableError, naming
from dao_core.readers.content import Content, read_content
from dao_core.readers.plain_rows import IDS, StructureColumns, arrays_and_notes, first_value

DEFAULT = StructureColumns()


def read_structures(path: Path | str) -> list[NamedStructure]:
    """All structures of a file, each under a name of its own.

    Args:
        path: A file of any format that is read here (`dao_core.readers.content.FORMATS`).

    Returns:
        (name, structure or refusal) in the order of the file. A file with one structure gives it the file's own name;
        frames and blocks of one with several are numbered (`run_1`), rows of a table go by their id where they have
        one. A file that can't be read at all is one refusal; nothing is raised for what stands in it. What was
        understood rather than read (deuterium, a rounded position) is a warning of the kind `ReadingNote`.
    """
    rows = named_rows(Path(path))
    for _, row in rows:
        if row.notes:
            warnings.warn(f"{row.where}: {'; '.join(row.notes)}", ReadingNote, stacklevel=2)
    return [NamedStructure(name, row.value) for name, row in rows]


def read_one(path: Path | str) -> Crystal:
    """The structure of a file that holds one.

    Args:
        path: A file of any format that is read here.

    Returns:
        The structure.

    Raises:
        UnreadableError: The file can't be read, or holds several structures or one whose atoms overlap; the message
            names it.
    """
    rows = [row for _, row in named_rows(Path(path))]
    if len(rows) > 1:
        raise UnreadableError(f"{path} holds {len(rows)} structures: give a file with one")
    value = rows[0].value
    if isinstance(value, Refusal):
        raise UnreadableError(naming(Path(path), UnreadableError(value.reason)))
    if closer_than(value.lattice, value.frac_coords, MIN_DISTANCE):
        raise UnreadableError(f"{path}: atoms {shortest_distance(value):.2f} A apart: correct the positions")
    if rows[0].notes:
        warnings.warn(f"{rows[0].where}: {'; '.join(rows[0].notes)}", ReadingNote, stacklevel=2)
    return value


def rows_of_files(paths: Sequence[Path]) -> list[tuple[str, Row[Crystal | Refusal]]]:
    """`named_rows` of several files; where they share a file name, each entry says in which folder it stands."""
    alike = Counter(path.name for path in dict.fromkeys(paths))
    return [item for path in paths for item in named_rows(path, in_full=alike[path.name] > 1)]


def named_rows(path: Path, *, in_full: bool = False) -> list[tuple[str, Row[Crystal | Refusal]]]:
    """`read_structures` with the notes and the other columns of each entry; `in_full` gives the path in `where`."""
    named = _named_rows(path)
    if in_full:
        return [(n, replace(row, where=f"{path}{row.where.removeprefix(path.name)}")) for n, row in named]
    return named


def _named_rows(path: Path) -> list[tuple[str, Row[Crystal | Refusal]]]:
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
    return _told_apart(names, rows)


def _told_apart(names: list[str], rows: list[Row[Crystal | Refusal]]) -> list[tuple[str, Row[Crystal | Refusal]]]:
    """Rows under names of their own; one whose id stands in an earlier row is numbered, with a note."""
    taken = set(names)
    numbers: dict[str, Iterator[int]] = {}
    out = []
    for name, row in zip(names, rows, strict=True):
        if name not in numbers:
            numbers[name] = count(2)
            out.append((name, row))
            continue
        own = next(other for n in numbers[name] if (other := f"{name}_{n}") not in taken)
        note = f"the id {name!r} stands in several rows, this one is {own!r}"
        out.append((own, replace(row, notes=(*row.notes, note))))
    return out


TABLES = ("csv", "json", "parquet", "lmdb")


def _finished(row: Row[Crystal | str | None]) -> Row[Crystal | Refusal]:
    """A row with its structure made from its columns where it was not made yet."""
    value, notes = row.value, row.notes
    if value is None:
        try:
            arrays, notes = arrays_and_notes(row.columns, DEFAULT)
            value = Crystal(*arrays)
        except (UnreadableError, InvalidCrystalError) as error:
            value = str(error)
    made = Refusal(row.where, value) if isinstance(value, str) else value
    return Row(row.where, made, row.columns, notes, row.part)


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
    from dao_core.readers.vasp_frames import poscar_texts

    texts = poscar_texts(_text(content))
    for index, text in enumerate(texts):
        alone = len(texts) == 1
        where = content.path.name if alone else f"{content.path.name} frame {index}"
        part = "" if alone else f"_{index + 1}"
        try:
            crystal, notes = read_poscar(text)
        except (UnreadableError, InvalidCrystalError) as error:
            yield Row(where, str(error), part=part)
        else:
            yield Row(where, crystal, {}, notes, part)


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
