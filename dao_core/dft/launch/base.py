"""TODO."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Protocol

from dao_core.dft.pw.input import PwInput
from dao_core.dft.pw.write import PWI
from dao_core.dft.repair.failures import RunOutcome
from dao_core.dft.settings import DftSettings


class Launcher(Protocol):
    """Runs one prepared directory: `start` returns at once, `wait` gives the outcome, also to a later worker."""

    def start(self, directory: Path, pw_input: PwInput) -> None:
        """Begin the run. Raises LaunchError."""

    def wait(self, directory: Path, pw_input: PwInput) -> RunOutcome:
        """Wait for a started run, even one that another process started."""

    def started(self, directory: Path) -> bool:
        """Whether a run was begun here that may still be going on."""


class LaunchError(RuntimeError):
    """The run could not begin; `outcome` names why."""

    def __init__(self, outcome: RunOutcome) -> None:
        super().__init__(outcome.note)
        self.outcome = outcome


def pw_command(settings: DftSettings, pw_input: PwInput) -> list[str]:
    """The command line of a run."""
    words = shlex.split(settings.command)
    if pw_input.ranks > 1:
        mpi = shlex.split(settings.mpi_command.format(ranks=pw_input.ranks))
        if os.geteuid() == 0 and Path(mpi[0]).name == "mpirun":
            mpi.insert(1, "--allow-run-as-root")
        words = mpi + words
    if pw_input.pools > 1:
        words += ["-nk", str(pw_input.pools)]
    return [*words, "-in", PWI]


def environment() -> dict[str, str]:
    """One thread a rank: two levels of threads spin against one another."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}
