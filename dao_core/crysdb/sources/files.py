"""The source `files`: structures that lie on the disk, in any of the usual formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dao_core.crysdb.sources.base import Refusal, SourceError, SourceItem
from dao_core.crysdb.sources.mapping import MappingOptions
from dao_core.crysdb.sources.readers import READERS, Reader

LMDB_LOCK = "lock.mdb"  # lies beside data.mdb and holds no row


def suffix_of(path: Path) -> str:
    """The suffix that decides the format, `.gz` left aside."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()


class FileSource:
    """Rows of files: Parquet, CSV with a CIF column, CIF, extended xyz, JSON (pymatgen or plain rows), each
    also .gz, and LMDB with JSON values (ASE databases).

    A folder stands for all its readable files, in order of name. The cursor is "file index:row". Raises SourceError
    for a path without readable files and, while iterating, for a damaged one, naming file and remedy; bad rows are
    Refusals.
    """

    def __init__(self, paths: str | Path | Sequence[str | Path], options: MappingOptions) -> None:
        given = [paths] if isinstance(paths, str | Path) else list(paths)
        self.paths = [file for path in given for file in _expand(Path(path))]
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
        """Every row after `cursor`; `since` is ignored, as files do not say when a row changed."""
        first, row = (int(part) for part in cursor.split(":")) if cursor else (0, 0)
        for index, path in enumerate(self.paths[first:], start=first):
            begin = row if index == first else 0
            for offset, value in enumerate(_reader(path)(path, self.options, begin), start=begin):
                yield SourceItem(value, f"{index}:{offset + 1}")


def _expand(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.rglob("*") if p.is_file() and suffix_of(p) in READERS and p.name != LMDB_LOCK)
    if not files:
        raise SourceError(f"{path} has no file ending in {', '.join(READERS)}: correct the path")
    return files


def _reader(path: Path) -> Reader:
    try:
        return READERS[suffix_of(path)]
    except KeyError:
        raise SourceError(f"{path}: unknown format, expected {', '.join(READERS)}") from None


__all__ = ["FileSource", "Refusal", "suffix_of"]
