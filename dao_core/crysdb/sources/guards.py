"""Doors of the file sources: a file that is not what its name says is refused before anything is read from it."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from dao_core.crysdb.sources.base import SourceError

LFS_MARK = b"version https://git-lfs"
GZIP_MARK = b"\x1f\x8b"
PARQUET_MARK = b"PAR1"


def check_file(path: Path) -> None:
    """Raises SourceError for a missing or empty file, a Git-LFS pointer, or a truncated gzip or Parquet file."""
    if not path.is_file():
        raise SourceError(f"{path} is not a file: correct the path")
    size = path.stat().st_size
    with path.open("rb") as handle:
        head = handle.read(64)
        handle.seek(max(0, size - 8))
        tail = handle.read(8)
    if size == 0:
        raise SourceError(f"{path} is empty: download it again")
    if head.startswith(LFS_MARK):
        raise SourceError(f"{path} is a Git-LFS pointer, not the data: run `git lfs pull`, or download the file itself")
    if path.suffix == ".parquet" and not (head.startswith(PARQUET_MARK) and tail.endswith(PARQUET_MARK)):
        raise SourceError(f"{path} is a truncated Parquet file (no PAR1 mark at its end): download it again")
    if path.suffix == ".gz":
        if not head.startswith(GZIP_MARK):
            raise SourceError(f"{path} is not gzip data although its name says so: rename it or download it again")
        _check_gzip(path)


def _check_gzip(path: Path) -> None:
    try:
        with gzip.open(path, "rb") as handle:
            while handle.read(1 << 20):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path} is a truncated or damaged gzip file ({error}): download it again") from error


def open_text(path: Path) -> str:
    """The text of a file, unpacked where it ends in .gz. Raises SourceError as `check_file`, or where it is no text."""
    check_file(path)
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding="utf-8") as handle:
                return handle.read()
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not text ({error}): is it another format?") from error
