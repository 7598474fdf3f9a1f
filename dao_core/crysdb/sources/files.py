"""The source `files`: structures that lie on the disk, in any of the usual formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal, SourceError, SourceItem
from dao_core.crysdb.sources.mapping import MappingOptions, column_names, row_to_record, with_nested
from dao_core.crysdb.sources.rows import RowError
from dao_core.crystal import Crystal
from dao_core.readers.base import Row, UnreadableError, naming
from dao_core.readers.content import Content, read_content
from dao_core.readers.read import read_rows

ENDINGS = (".parquet", ".csv", ".tsv", ".cif", ".mcif", ".xyz", ".extxyz", ".json", ".jsonl", ".vasp", ".poscar",
           ".lmdb", ".aselmdb", ".mdb")  # fmt: skip
NAMES = ("poscar", "contcar")  # of files without an ending
LMDB_LOCK = "lock.mdb"  # lies beside data.mdb and holds no row
TOTAL_ENERGY = ("extxyz", "lmdb")  # their `energy` is the whole cell's
SCHEMES = ("run_type", "functional")  # columns in which entries of several schemes say which is theirs
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
        self._stems = _distinct_stems(self.paths, [Path(path) for path in given])
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
        """Hash of the files' content and of the names that ids are made of.

        Raises:
            SourceError: A file is missing.
        """
        from dao_core.artifacts import content_key, file_sha256

        for path in self.paths:
            if not path.is_file():
                raise SourceError(f"{path} is not a file: correct the path")
        files = [(self._stems[p], p.name, file_sha256(p)) for p in self.paths]
        return content_key(files=files, options=self.options.model_dump())

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
        schemes: dict[str, str] = {}
        for index, path in enumerate(self.paths[first:], start=first):
            begin = row if index == first else 0
            try:
                content = read_content(path)
                for offset, row_read in enumerate(read_rows(content, begin), start=begin):
                    entry = replace(row_read, columns=with_nested(row_read.columns))
                    seen |= column_names(entry.columns)
                    value, notes = self._record(entry, content, self._stems[path], offset)
                    if self.options.mapping.functional_column is None:
                        notes = (*notes, *_other_schemes(entry.columns, schemes))
                    yield SourceItem(value, f"{index}:{offset + 1}", notes)
                n_read += 1
            except UnreadableError as error:
                if len(self.paths) == 1:
                    raise SourceError(naming(path, error)) from error
                last = error
                yield SourceItem(Refusal(path.name, naming(path, error)), f"{index + 1}:0")
        if cursor is None and n_read == 0:  # behind a cursor only bad ones may be left
            raise SourceError(f"none of {len(self.paths)} files could be read; the last: {last}")

    def _record(
        self, row: Row[Crystal | str | None], content: Content, stem: str, index: int
    ) -> tuple[CrysRecord | Refusal, tuple[str, ...]]:
        options = self.options
        if content.format in TOTAL_ENERGY and options.mapping.energy is None:
            options = options.model_copy(update={"mapping": options.mapping.model_copy(update={"energy": "energy"})})
        named_by_file = content.format in ("cif", "poscar")
        try:
            record, notes = row_to_record(row, options, stem + (row.part if named_by_file else f"-{index}"))
        except RowError as error:
            return Refusal(row.where, str(error)), ()
        if content.format in TOTAL_ENERGY:
            said, parent = (row.columns.get(name) for name in ("relaxation", "parent_id"))  # our own export says so
            moves = record.forces is not None and np.abs(record.forces).max() > AT_REST
            record.relaxation = str(said) if said else "frame" if moves else None
            record.parent_id = str(parent) if parent else None
        return record, notes


def _other_schemes(columns: Mapping[str, Any], first: dict[str, str]) -> list[str]:
    """A note where a row names another kind of energy than the first row, although all share a hull."""
    return [
        f"{name} differs between rows that share a hull: name it as functional_column in the mapping"
        for name in SCHEMES
        if isinstance(value := columns.get(name), str) and first.setdefault(name, value) != value
    ]


def _distinct_stems(files: Sequence[Path], given: Sequence[Path]) -> dict[Path, str]:
    """What the ids of each file's structures begin with: its name below a given folder, without its ending.

    Of files that are then called alike the later ones have more folders before their names (`b-POSCAR` of b/POSCAR),
    or their ending behind it where they lie in one folder.
    """
    stems: dict[Path, str] = {}
    taken: dict[str, Path] = {}
    for file in dict.fromkeys(files):
        folders, name = _folders_of(file, given), file.name.removesuffix(".gz")
        above = file.absolute().parent.parts[1:]
        above = above[: len(above) - len(folders)]
        inside = "-".join([*folders, Path(name).stem or name])
        choices = ["-".join([*above[k:], inside]) for k in range(len(above), -1, -1)]
        if inside in taken and taken[inside].parent == file.parent:
            choices = ["-".join([*folders, name]), *choices]
        stems[file] = next((stem for stem in choices if stem not in taken), inside)
        taken.setdefault(stems[file], file)
    return stems


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
