"""Folders and files that a command writes to, checked before the work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from flows.cli.errors import fail


def prepare_folder(path: Path, option: str = "--out") -> Path:
    """Make the folder that results go to, or end with one line where that can't be done.

    Args:
        path: The folder; its parents are made too.
        option: The option that named it.

    Returns:
        The same path.
    """
    if path.exists() and not path.is_dir():
        fail(f"{option} {path} is a file: name a folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"{option} {path} can't be made ({error.strerror or error}): name another folder")
    if not os.access(path, os.W_OK | os.X_OK):
        fail(f"{option} {path} can't be written to: name another folder, or change its permissions")
    return path


def check_file(path: Path, endings: Sequence[str], option: str = "--out") -> Path:
    """See that a file can be written, or end with one line where it can't.

    Args:
        path: The file.
        endings: Those that it may have, such as ".csv".
        option: The option or argument that named it.

    Returns:
        The same path.
    """
    if path.suffix not in endings:
        fail(f"{option} {path}: use one of the endings {', '.join(endings)}")
    if path.is_dir():
        fail(f"{option} {path} is a folder: name a file")
    if not path.parent.is_dir():
        fail(f"{option} {path}: there is no folder {path.parent}, make it first or name another")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        fail(f"{option} {path} can't be written to: name another file, or change its permissions")
    return path
