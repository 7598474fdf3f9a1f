"""Ending what a run started (pw.x in sessions of their own, Dask workers, ranks of a training), and who still lives."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dao_core.dft.launch.programs import RunningPrograms

GRACE_SECONDS = 3.0


def end_descendants(
    programs: RunningPrograms | None = None, *, keep: Sequence[str] = ("prefect.server.api.server:create_app",)
) -> int:
    """End all processes below this one, politely and then for good.

    Args:
        programs: What the run took over from a dead worker; they are no children of this process and end as well.
        keep: A process whose command line holds one of these words stays: the ephemeral server is told last how the run
            ended. Jobs that were handed to Slurm are nobody's children and go on; the next attempt finds them by their
            ids.

    Returns:
        How many are left.
    """
    import psutil

    from dao_core.dft.launch.programs import current_programs

    (programs or current_programs()).stop()
    found = []
    for child in psutil.Process(os.getpid()).children(recursive=True):
        try:
            if not any(word in part for part in child.cmdline() for word in keep):
                found.append(child)
        except psutil.Error:
            continue  # it has ended by itself
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for child in found:
            try:
                child.send_signal(sign)
            except psutil.Error:
                continue
        _, found = psutil.wait_procs(found, timeout=GRACE_SECONDS)
    return len(found)


def process_start(pid: int) -> str | None:
    """When a process started, in kernel ticks: tells it from a later one with its number. None: no process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _alive_elsewhere(pid)
    return None if fields[0] == "Z" else fields[19]


def _alive_elsewhere(pid: int) -> str | None:
    """On systems without /proc: only whether the process exists."""
    if Path("/proc/self").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "alive"
