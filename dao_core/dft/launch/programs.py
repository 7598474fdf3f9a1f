"""The programs that a run has started or taken over, so that ending the run ends them all."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

GRACE_SECONDS = 3.0


class RunningPrograms:
    """Belongs to one run. Ctrl-C and SIGTERM reach only the main thread: `stop` ends what other threads wait for.

    Programs that a dead worker left behind are no children of this process; they are ended too.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._folders: dict[int, Path] = {}

    @property
    def stopped(self) -> bool:
        """Whether the run is ending: nothing new may start, and every wait ends."""
        return self._stopped.is_set()

    def add(self, pid: int, folder: Path) -> None:
        """Note a program by the id of its process (the leader of its session) and the folder that it works in."""
        self._folders[pid] = folder

    def discard(self, pid: int) -> None:
        """Forget a program that has ended."""
        self._folders.pop(pid, None)

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """End every program, politely and then for good, and make every wait of this run raise KeyboardInterrupt."""
        self._stopped.set()
        for sign in (signal.SIGTERM, signal.SIGKILL):
            alive = {pid: folder for pid, folder in list(self._folders.items()) if works_in(pid, folder)}
            for pid in alive:
                signal_group(pid, sign)
            deadline = time.monotonic() + grace_seconds
            while time.monotonic() < deadline and any(works_in(pid, folder) for pid, folder in alive.items()):
                time.sleep(0.05)


_current: ContextVar[RunningPrograms | None] = ContextVar("running_programs", default=None)


@contextmanager
def running_programs() -> Iterator[RunningPrograms]:
    """The register of this run for everything inside, threads that copy the context included.

    Inside another one's scope that one is given: a command and the flow that it runs are one run.
    """
    outer = _current.get()
    if outer is not None:
        yield outer
        return
    programs = RunningPrograms()
    token = _current.set(programs)
    try:
        yield programs
    finally:
        _current.reset(token)


def current_programs() -> RunningPrograms:
    """The register of the run that this code belongs to; a new one where nobody has opened one."""
    return _current.get() or RunningPrograms()


def works_in(pid: int, folder: Path) -> bool:
    """Whether a process lives and works in a folder (a pid alone may have been given to another program).

    Args:
        pid: Of the process.
        folder: It may have been deleted under the process: Linux then adds a word to the path.

    Returns:
        Whether it does.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        working = str(Path(f"/proc/{pid}/cwd").readlink()).removesuffix(" (deleted)")
    except (OSError, IndexError):
        return False
    return state != "Z" and working == str(folder.resolve())


def signal_group(pid: int, sign: signal.Signals) -> None:
    """Send a signal to a program and its MPI ranks."""
    try:
        os.killpg(pid, sign)
    except (ProcessLookupError, PermissionError):
        return  # gone already
