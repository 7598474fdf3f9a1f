"""Doors of the sources: a file that is not what its name says is refused before anything is read from it."""

from __future__ import annotations

from pathlib import Path

from dao_core.crysdb.sources.base import SourceError
from dao_core.readers import content
from dao_core.readers.base import UnreadableError


def check_file(path: Path) -> None:
    """Raise SourceError for a missing or empty file, a Git-LFS pointer, or a truncated gzip or Parquet file."""
    try:
        if content.check_file(path).startswith(content.GZIP_MARK):
            content.check_gzip(path)
    except UnreadableError as error:
        raise SourceError(str(error)) from error
