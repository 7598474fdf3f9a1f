"""Run pw.x on this machine; wall time, silence, a stuck SCF, a full disk, no program: each ends in a named outcome."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from dao_core.artifacts import write_atomic
from dao_core.dft.launch.base import LaunchError, environment, pw_command
from dao_core.dft.pw.build import PREFIX
from dao_core.dft.pw.input import PwInput
from dao_core.dft.pw.output import STDERR, STDOUT, parse_text
from dao_core.dft.repair.failures import RunOutcome, scf_is_stuck
from dao_core.dft.settings import DftSettings

PID_FILE = "pid"
GRACE_SECONDS = 10.0  # between asking a process to end and killing it
STUCK_GRACE_SECONDS = 120.0  # pw.x looks for its EXIT file once an iteration
MONITOR_SECONDS = 20.0
_stopping = threading.Event()


def stop_runs() -> None:
    """Make every wait in this process end its pw.x and raise KeyboardInterrupt: Ctrl-C reaches only the main thread."""
    _stopping.set()


def _end_if_stopping() -> None:
    if _stopping.is_set():
        raise KeyboardInterrupt


class LocalLauncher:
    """pw.x as a child process in a session of its own, so that ending it ends its MPI ranks too."""

    def __init__(
        self, settings: DftSettings, *, poll_seconds: float = 0.5, monitor_seconds: float = MONITOR_SECONDS
    ) -> None:
        self.settings = settings
        self.poll_seconds = poll_seconds
        self.monitor_seconds = monitor_seconds
        self._children: dict[Path, subprocess.Popen[bytes]] = {}

    def start(self, directory: Path, pw_input: PwInput) -> None:
        """Begin the run. Raises LaunchError (disk_full, missing)."""
        free = shutil.disk_usage(directory).free
        if free < self.settings.min_free_bytes:
            note = f"{free / 1e6:.0f} MB free at {directory}, {self.settings.min_free_bytes / 1e6:.0f} MB wanted"
            raise LaunchError(RunOutcome("disk_full", note=note))
        command = pw_command(self.settings, pw_input)
        (directory.parent / "out" / f"{PREFIX}.EXIT").unlink(missing_ok=True)
        try:
            with (directory / STDOUT).open("wb") as stdout, (directory / STDERR).open("wb") as stderr:
                child = subprocess.Popen(
                    command, cwd=directory, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                    env=environment(), start_new_session=True,
                )  # fmt: skip
        except (FileNotFoundError, PermissionError) as error:
            raise LaunchError(RunOutcome("missing", note=f"cannot start {command[0]}: {error}")) from error
        self._children[directory] = child
        write_atomic(directory / PID_FILE, str(child.pid))

    def started(self, directory: Path) -> bool:
        """Whether a process still works here (left by a worker that died)."""
        pid = _read_pid(directory)
        return pid is not None and _works_in(pid, directory)

    def wait(self, directory: Path, pw_input: PwInput) -> RunOutcome:
        """Watch the run to its end: wall time, silence, a stuck SCF."""
        child = self._children.pop(directory, None)
        begin = _start_time(directory)
        seen, seen_at, looked_at = -1, time.monotonic(), time.monotonic()
        try:
            while True:
                _end_if_stopping()
                code = child.poll() if child else (None if self.started(directory) else -1)
                if code is not None:
                    return _ended(code, child is None)
                now, size = time.monotonic(), _size(directory / STDOUT)
                if size != seen:
                    seen, seen_at = size, now
                if time.time() - begin > pw_input.wall_seconds:
                    return self._end(
                        directory, child, RunOutcome("timeout", note=f"over {pw_input.wall_seconds:.0f} s")
                    )
                stall = self.settings.stall_seconds
                if stall and now - seen_at > stall:
                    return self._end(directory, child, RunOutcome("stalled", note=f"no output for {stall:.0f} s"))
                if pw_input.calculation != "scf" and now - looked_at > self.monitor_seconds:
                    looked_at = now
                    if _stuck(directory):
                        return self._stop_stuck(directory, child)
                time.sleep(self.poll_seconds)
        except BaseException:
            self._end(directory, child, RunOutcome("timeout"))  # Ctrl-C must not leave pw.x behind
            raise

    def _stop_stuck(self, directory: Path, child: subprocess.Popen[bytes] | None) -> RunOutcome:
        """Ask pw.x to stop cleanly through its EXIT file, so that a full restart is possible."""
        (directory.parent / "out").mkdir(exist_ok=True)
        (directory.parent / "out" / f"{PREFIX}.EXIT").touch()
        deadline = time.monotonic() + STUCK_GRACE_SECONDS
        while time.monotonic() < deadline and (child.poll() is None if child else self.started(directory)):
            time.sleep(self.poll_seconds)
        return self._end(directory, child, RunOutcome("stuck", note="the SCF accuracy stopped improving"))

    def _end(self, directory: Path, child: subprocess.Popen[bytes] | None, outcome: RunOutcome) -> RunOutcome:
        pid = child.pid if child else _read_pid(directory)
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if pid is None or not (child.poll() is None if child else _works_in(pid, directory)):
                break
            _signal_group(pid, sign)
            deadline = time.monotonic() + GRACE_SECONDS
            while time.monotonic() < deadline and (child.poll() is None if child else _works_in(pid, directory)):
                time.sleep(0.05)
        return outcome


def _ended(code: int, adopted: bool) -> RunOutcome:
    if adopted:
        return RunOutcome("lost", note="ended without a parent; its exit status is unknown")
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return RunOutcome("out_of_memory", code, "killed from outside, most likely for memory")
    if code == 127:
        return RunOutcome("missing", code, "the shell found no such program")
    return RunOutcome("exited", code)


def _stuck(directory: Path) -> bool:
    try:
        text = (directory / STDOUT).read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return False
    return scf_is_stuck(parse_text(text).cycles)


def _signal_group(pid: int, sign: signal.Signals) -> None:
    try:
        os.killpg(pid, sign)
    except (ProcessLookupError, PermissionError):
        return  # gone already


def _read_pid(directory: Path) -> int | None:
    try:
        return int((directory / PID_FILE).read_text())
    except (OSError, ValueError):
        return None


def _works_in(pid: int, directory: Path) -> bool:
    """Whether that process lives and works in that directory (a pid alone may have been given to another program)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state != "Z" and Path(f"/proc/{pid}/cwd").resolve() == directory.resolve()
    except (OSError, IndexError):
        return False


def _start_time(directory: Path) -> float:
    try:
        return (directory / PID_FILE).stat().st_mtime
    except OSError:
        return time.time()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
