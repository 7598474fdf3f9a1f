"""What a launcher does (`Launcher`) and what it is given (`Job`): one program of the suite in a prepared folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dao_core.dft.launch.outcome import RunOutcome
from dao_core.dft.settings import DftSettings


@dataclass(frozen=True)
class Job:
    """One run of a program.

    `exit_file` (relative to the folder) asks the program to stop cleanly; `is_stuck` is asked now and then about what
    it has written so far. `arguments` are those of a program that is none of the suite, in place of its input file.
    """

    program: str
    input_file: str
    stdout: str
    stderr: str
    wall_seconds: float
    ranks: int = 1
    pools: int = 1
    memory_gb: float | None = None
    exit_file: str | None = None
    is_stuck: Callable[[str], bool] | None = None
    arguments: tuple[str, ...] | None = None


class Launcher(Protocol):
    """Runs one prepared directory: `start` returns at once, `wait` gives the outcome, also to a later worker."""

    def start(self, directory: Path, job: Job) -> None:
        """Begin a run.

        Args:
            directory: With its input.
            job: Program, ranks and limits.

        Raises:
            LaunchError: It could not begin.
        """

    def wait(self, directory: Path, job: Job) -> RunOutcome:
        """Wait for a started run, even one that another process started.

        Args:
            directory: Of the run.
            job: Program, ranks and limits.

        Returns:
            How it ended.
        """

    def started(self, directory: Path) -> bool:
        """Whether a run was begun here that may still be going on."""


class LaunchError(RuntimeError):
    """The run could not begin; `outcome` names why."""

    def __init__(self, outcome: RunOutcome) -> None:
        super().__init__(outcome.note)
        self.outcome = outcome


def job_command(settings: DftSettings, job: Job) -> list[str]:
    """The command line of a run: MPI, the program, its pools and its input file."""
    if job.arguments is not None:
        return [*shlex.split(job.program), *job.arguments]
    words = program_words(settings.command, job.program)
    if job.ranks > 1:
        mpi = shlex.split(settings.mpi_command.format(ranks=job.ranks))
        if os.geteuid() == 0 and Path(mpi[0]).name == "mpirun":
            mpi.insert(1, "--allow-run-as-root")
        words = mpi + words
    if job.pools > 1:
        words += ["-nk", str(job.pools)]
    return [*words, "-in", job.input_file]


def program_words(pw_command: str, program: str) -> list[str]:
    """The command of another program of the suite, which lies beside pw.x.

    Args:
        pw_command: The command of pw.x, such as "pw.x" or "/opt/qe/bin/pw.x".
        program: Name of the program, such as "ph.x".

    Returns:
        The words of the command.
    """
    words = shlex.split(pw_command)
    if program != "pw.x":
        words[-1] = str(Path(words[-1]).with_name(program))
    return words


def environment() -> dict[str, str]:
    """The environment of a program: one thread a rank, since two levels of threads spin against one another."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}
