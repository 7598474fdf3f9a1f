"""A run's register: it ends programs that a dead worker left, and another run is not touched by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dao_core.dft.launch.base import Job
from dao_core.dft.launch.local import IN_USE, OUT, PID_FILE, LocalLauncher
from dao_core.dft.launch.programs import RunningPrograms, current_programs, running_programs, works_in
from dao_core.dft.settings import DftSettings

WORK = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]


@pytest.fixture
def orphan(tmp_path: Path) -> tuple[Path, subprocess.Popen[bytes]]:
    """A program at work in a folder, started by somebody who is gone."""
    folder = tmp_path / "round_1"
    folder.mkdir()
    child = subprocess.Popen(WORK, cwd=folder, start_new_session=True)
    (folder / PID_FILE).write_text(str(child.pid))
    (tmp_path / OUT).mkdir()
    (tmp_path / OUT / IN_USE).write_text("")
    return folder, child


def job() -> Job:
    return Job("pw.x", "in", "out", "err", wall_seconds=600.0)


def test_stopping_the_run_ends_an_adopted_program(
    orphan: tuple[Path, subprocess.Popen[bytes]], settings: DftSettings
) -> None:
    folder, child = orphan
    programs = RunningPrograms()
    programs.add(child.pid, folder)
    programs.stop()
    assert child.wait(timeout=10) != 0
    assert not works_in(child.pid, folder)
    with pytest.raises(KeyboardInterrupt):
        LocalLauncher(settings, programs=programs).wait(folder, job())


def test_wait_registers_what_it_adopts_and_forgets_it(
    orphan: tuple[Path, subprocess.Popen[bytes]], settings: DftSettings
) -> None:
    folder, child = orphan
    seen: list[int] = []

    class Watching(RunningPrograms):
        def add(self, pid: int, folder: Path) -> None:
            super().add(pid, folder)
            seen.append(pid)
            child.kill()
            child.wait()

    programs = Watching()
    assert LocalLauncher(settings, poll_seconds=0.01, programs=programs).wait(folder, job()).kind == "lost"
    assert seen == [child.pid]
    assert programs._folders == {}


def test_a_pid_of_another_folder_is_left_alone(orphan: tuple[Path, subprocess.Popen[bytes]], tmp_path: Path) -> None:
    _, child = orphan
    programs = RunningPrograms()
    programs.add(child.pid, tmp_path)
    programs.stop()
    assert child.poll() is None
    child.kill()
    child.wait()


def test_one_run_has_one_register_and_the_next_a_fresh_one() -> None:
    with running_programs() as outer:
        outer.stop()
        with running_programs() as inner:
            assert inner is outer
        assert current_programs() is outer
    assert not current_programs().stopped
    with running_programs() as later:
        assert later is not outer
        assert not later.stopped
