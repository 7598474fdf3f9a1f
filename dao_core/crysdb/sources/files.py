"""The source `files`: structures that lie on the disk, in any of the usual formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal, SourceError, SourceItem
from dao_core.crysdb.sources.mapping import MappingOptions, RowError, column_names, row_to_record, with_nested
from dao_core.crystal import Crystal
from dao_core.readers.base import Row, UnreadableError, naming
from dao_core.readers.content import Content, read_content
from dao_core.readers.read import read_rows

ENDINGS = (".parquet", ".csv", ".tsv", ".cif", ".mcif", ".xyz", ".extxyz", ".json", ".jsonl", ".vasp", ".poscar",
           ".lmdb", ".aselmdb", ".mdb")  # fmt: skip
NAMES = ("poscar", "contcar")  # of files without an ending
LMDB_LOCK = "lock.mdb"  # lies beside data.mdb and holds no row
TOTAL_ENERGY = ("extxyz", "lmdb")  # their `energy` is the whole cell's
AT_REST = 0.05  # eV/angstrom: a row with larger forces is a frame on the way somewhere


class FileSource:
    """Rows of files: CIF, extended xyz, POSCAR, CSV, JSON (pymatgen or plain rows), each also .gz, Parquet and LMDB.

    The format is recognised by the content; a folder stands for all its files that have a usual ending, in order of
    name. The cursor is "file index:row". Bad rows are Refusals, and so is a file that can't be read where there are
    others.

    Raises SourceError for a path without readable files and, while iterating, where no file could be read, or where a
    column of the mapping, named on purpose, is in no row.
    """

    def __init__(self, paths: str | Path | Sequence[str | Path], options: MappingOptions) -> None:
        given = [paths] if isinstance(paths, str | Path) else list(paths)
        self.paths = [file for path in given for file in _expand(Path(path))]
        self._folders = {file: _folders_of(file, [Path(path) for path in given]) for file in self.paths}
        self.options = options

    @property
    def name(self) -> str:
        """As in the options."""
        return self.options.name

    @property
    def functional(self) -> str:
        """As in the options; rows may add to it (`functional_column`)."""
        return self.options.functional

    @property
    def version(self) -> str | None:
        """As in the options."""
        return self.options.version

    def fingerprint(self) -> str:
        """Hash of the files' content: the name of this input in the ledger. Raises SourceError for a missing file."""
        from dao_core.artifacts import content_key, file_sha256

        for path in self.paths:
            if not path.is_file():
                raise SourceError(f"{path} is not a file: correct the path")
        return content_key(files=[(p.name, file_sha256(p)) for p in self.paths], options=self.options.model_dump())

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:  # noqa: ARG002
        """Every row after `cursor`; `since` is ignored, as files do not say when a row changed.

        Raises:
            SourceError: No file can be read, or no row has a column that the mapping names.
        """
        seen: set[str] = set()
        yield from self._items(cursor, seen)
        if cursor is not None and self.options.mapping.missing(seen):
            for _ in self._items(None, seen):  # what was read before the cursor counts too
                pass
        missing = self.options.mapping.missing(seen) if seen else []
        if missing:
            there = ", ".join(sorted(name for name in seen if "." not in name))
            raise SourceError(f"no row has the column of {', '.join(missing)}: correct the mapping; there are {there}")

    def _items(self, cursor: str | None, seen: set[str]) -> Iterator[SourceItem]:
        """The rows after a cursor; the columns in which they have a value go to `seen`."""
        first, row = (int(part) for part in cursor.split(":")) if cursor else (0, 0)
        n_read = 0
        for index, path in enumerate(self.paths[first:], start=first):
            begin = row if index == first else 0
            try:
                content = read_content(path)
                stem = "-".join([*self._folders[path], content.stem])
                for offset, row_read in enumerate(read_rows(content, begin), start=begin):
                    entry = replace(row_read, columns=with_nested(row_read.columns))
                    seen |= column_names(entry.columns)
                    yield SourceItem(self._record(entry, content, stem, offset), f"{index}:{offset + 1}")
                n_read += 1
            except UnreadableError as error:
                if len(self.paths) == 1:
                    raise SourceError(naming(path, error)) from error
                last = error
                yield SourceItem(Refusal(path.name, naming(path, error)), f"{index + 1}:0")
        if self.paths[first:] and n_read == 0:
            raise SourceError(f"none of {len(self.paths)} files could be read; the last: {last}")

    def _record(self, row: Row[Crystal | str | None], content: Content, stem: str, index: int) -> CrysRecord | Refusal:
        options = self.options
        if content.format in TOTAL_ENERGY and options.mapping.energy is None:
            options = options.model_copy(update={"mapping": options.mapping.model_copy(update={"energy": "energy"})})
        named_by_file = content.format in ("cif", "poscar")
        try:
            record = row_to_record(row, options, stem + (row.part if named_by_file else f"-{index}"))
        except RowError as error:
            return Refusal(row.where, str(error))
        if content.format in TOTAL_ENERGY:
            said, parent = (row.columns.get(name) for name in ("relaxation", "parent_id"))  # our own export says so
            moves = record.forces is not None and np.abs(record.forces).max() > AT_REST
            record.relaxation = str(said) if said else "frame" if moves else None
            record.parent_id = str(parent) if parent else None
        return record


def _folders_of(file: Path, given: Sequence[Path]) -> tuple[str, ...]:
    """Folders between a given folder and a file in it: `calc1/POSCAR` and `calc2/POSCAR` are two structures."""
    inside = next((file.relative_to(path) for path in given if path.is_dir() and file.is_relative_to(path)), file)
    return inside.parts[:-1] if inside is not file else ()


def _expand(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.rglob("*") if p.is_file() and _may_be_read(p))
    if not files:
        raise SourceError(f"{path} has no file ending in {', '.join(ENDINGS)}: correct the path")
    return files


def _may_be_read(path: Path) -> bool:
    name = path.name.lower().removesuffix(".gz")
    return path.name != LMDB_LOCK and (name.endswith(ENDINGS) or name in NAMES)
