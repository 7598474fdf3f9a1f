"""Run a program on this machine; wall time, silence, a stuck SCF, a full disk, no program: each has its outcome."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from dao_core.artifacts import write_atomic
from dao_core.dft.launch.base import Job, LaunchError, environment, job_command
from dao_core.dft.launch.outcome import RunOutcome
from dao_core.dft.launch.programs import RunningPrograms, current_programs, signal_group, works_in
from dao_core.dft.settings import DftSettings

PID_FILE = "pid"
OUT, IN_USE = "out", "in_use"  # where a program keeps its scratch, and the mark there that shows its removal
GRACE_SECONDS = 10.0  # between asking a process to end and killing it
STUCK_GRACE_SECONDS = 120.0  # pw.x looks for its EXIT file once an iteration
MONITOR_SECONDS = 20.0


@dataclass(frozen=True)
class _Process:
    """A program that was started here (`child`) or by a worker that died."""

    directory: Path
    child: subprocess.Popen[bytes] | None
    pid: int | None

    def exit_code(self) -> int | None:
        """None while it runs; -1 for one whose exit status nobody can know."""
        if self.child is not None:
            return self.child.poll()
        return None if self.pid is not None and works_in(self.pid, self.directory) else -1

    @property
    def alive(self) -> bool:
        return self.exit_code() is None


class LocalLauncher:
    """Programs as child processes in sessions of their own, so that ending one ends its MPI ranks too.

    Args:
        settings: Command, stall limit and free space.
        poll_seconds: Between two looks at a process.
        monitor_seconds: Between two looks at what it has written.
        programs: The register of the run; by default that of the run this code belongs to.
    """

    def __init__(
        self,
        settings: DftSettings,
        *,
        poll_seconds: float = 0.5,
        monitor_seconds: float = MONITOR_SECONDS,
        programs: RunningPrograms | None = None,
    ) -> None:
        self.settings = settings
        self.poll_seconds = poll_seconds
        self.monitor_seconds = monitor_seconds
        self.programs = programs or current_programs()
        self._children: dict[Path, subprocess.Popen[bytes]] = {}

    def start(self, directory: Path, job: Job) -> None:
        """Begin the run. Raises LaunchError (disk_full, missing)."""
        free = shutil.disk_usage(directory).free
        if free < self.settings.min_free_bytes:
            note = f"{free / 1e6:.0f} MB free at {directory}, {self.settings.min_free_bytes / 1e6:.0f} MB wanted"
            raise LaunchError(RunOutcome("disk_full", note=note))
        command = job_command(self.settings, job)
        if job.exit_file:
            (directory / job.exit_file).unlink(missing_ok=True)
        _mark(directory)
        try:
            with (directory / job.stdout).open("wb") as stdout, (directory / job.stderr).open("wb") as stderr:
                child = subprocess.Popen(
                    command, cwd=directory, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                    env=environment(), start_new_session=True,
                )  # fmt: skip
        except (FileNotFoundError, PermissionError) as error:
            raise LaunchError(RunOutcome("missing", note=f"cannot start {command[0]}: {error}")) from error
        self._children[directory] = child
        self.programs.add(child.pid, directory)
        write_atomic(directory / PID_FILE, str(child.pid))

    def started(self, directory: Path) -> bool:
        """Whether a process still works here (left by a worker that died)."""
        pid = _read_pid(directory)
        return pid is not None and works_in(pid, directory)

    def wait(self, directory: Path, job: Job) -> RunOutcome:
        """Watch the run to its end: wall time, silence, a stuck SCF, a folder that is taken away."""
        child = self._children.pop(directory, None)
        process = _Process(directory, child, child.pid if child else _read_pid(directory))
        if process.pid is not None:
            self.programs.add(process.pid, directory)
        try:
            return self._watch(process, job)
        except BaseException:
            _end(process)  # Ctrl-C must not leave a program behind
            raise
        finally:
            if process.pid is not None:
                self.programs.discard(process.pid)

    def _watch(self, process: _Process, job: Job) -> RunOutcome:
        directory, begin = process.directory, _start_time(process.directory)
        seen, seen_at, looked_at = -1, time.monotonic(), time.monotonic()
        while True:
            if self.programs.stopped:
                raise KeyboardInterrupt
            code = process.exit_code()
            if not _is_marked(directory):
                _end(process)
                return RunOutcome("folder_removed", code, f"{directory.parent} was removed while {job.program} worked")
            if code is not None:
                return _ended(code, process.child is None, job)
            now, size = time.monotonic(), _size(directory / job.stdout)
            if size != seen:
                seen, seen_at = size, now
            if time.time() - begin > job.wall_seconds:
                _end(process)
                return RunOutcome("timeout", note=f"over {job.wall_seconds:.0f} s")
            stall = self.settings.stall_seconds
            if stall and now - seen_at > stall:
                _end(process)
                return RunOutcome("stalled", note=f"no output for {stall:.0f} s")
            if job.is_stuck is not None and now - looked_at > self.monitor_seconds:
                looked_at = now
                if job.is_stuck(_read(directory / job.stdout)):
                    return self._stop_stuck(process, job)
            time.sleep(self.poll_seconds)

    def _stop_stuck(self, process: _Process, job: Job) -> RunOutcome:
        """Ask the program to stop cleanly through its exit file, so that a full restart is possible."""
        if job.exit_file:
            (process.directory / job.exit_file).touch()
            deadline = time.monotonic() + STUCK_GRACE_SECONDS
            while time.monotonic() < deadline and process.alive:
                time.sleep(self.poll_seconds)
        _end(process)
        return RunOutcome("stuck", note="the SCF accuracy stopped improving")


def _end(process: _Process) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.pid is None or not process.alive:
            return
        signal_group(process.pid, sign)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and process.alive:
            time.sleep(0.05)


def _mark(directory: Path) -> None:
    """Leave a mark in the scratch folder: a removal of the folder or of all that is in it shows by its absence."""
    out = directory.parent / OUT
    out.mkdir(exist_ok=True)
    (out / IN_USE).write_text(str(os.getpid()))


def _is_marked(directory: Path) -> bool:
    return directory.is_dir() and (directory.parent / OUT / IN_USE).exists()


def _ended(code: int, adopted: bool, job: Job) -> RunOutcome:
    if adopted:
        return RunOutcome("lost", note="ended without a parent; its exit status is unknown")
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return RunOutcome("out_of_memory", code, "killed from outside, most likely for memory")
    if code == 127:
        return RunOutcome("missing", code, f"the shell found no {job.program}")
    return RunOutcome("exited", code)


def _read_pid(directory: Path) -> int | None:
    try:
        return int((directory / PID_FILE).read_text())
    except (OSError, ValueError):
        return None


def _start_time(directory: Path) -> float:
    try:
        return (directory / PID_FILE).stat().st_mtime
    except OSError:
        return time.time()


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
