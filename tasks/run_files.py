"""The files of a run's log in its folder. A second run there has its own while the first one works."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STATE, METRICS, HEARTBEAT = "run.json", "metrics.prom", "heartbeat"
STATES_BESIDE = "run-*.json"


def run_file(root: Path, name: str, beside: str = "") -> Path:
    """`run.json`, or `run-0a1b2c.json` of the run demo-0a1b2c that began beside another one."""
    stem, dot, ending = name.partition(".")
    return root / (f"{stem}-{beside}{dot}{ending}" if beside else name)


def beside_of(state: Path) -> str:
    """Which run's state a file is, as `run_file` takes it; empty for `run.json`."""
    return state.stem.removeprefix("run").removeprefix("-")


@contextmanager
def beginning(root: Path) -> Iterator[None]:
    """One run at a time looks which files are free in its folder, and takes them."""
    handle = os.open(root, os.O_RDONLY)
    try:
        with suppress(OSError):  # NFS locks no folder: there only runs that begin within a moment can meet
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
