"""Folders for what a process needs only while it works, gone with it even where a signal ends it at once."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_in_use: set[Path] = set()


@contextmanager
def scratch_folder(prefix: str = "dao-") -> Iterator[Path]:
    """A new empty folder among the system's temporary ones, removed at the end of the block or by `remove_scratch`.

    Args:
        prefix: What its name begins with.

    Yields:
        The folder.
    """
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _in_use.add(folder)
        try:
            yield folder
        finally:
            _in_use.discard(folder)


def remove_scratch() -> None:
    """Remove the scratch folders of this process: for those who end it without leaving its blocks."""
    for folder in list(_in_use):
        shutil.rmtree(folder, ignore_errors=True)
