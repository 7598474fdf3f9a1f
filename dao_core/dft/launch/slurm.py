"""Slurm: submit once, write the job id down, poll by it, so that a lost worker doesn't lose the job."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from dao_core.artifacts import write_atomic
from dao_core.dft.launch.base import Job, Launcher, LaunchError, job_command
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.launch.outcome import RunOutcome
from dao_core.dft.settings import DftSettings

JOB_FILE, SCRIPT, EXIT_FILE = "job.json", "job.sh", "exit_code"
# states of squeue(1) in which a job still has its folder, those that requeue or hold it among them
RUNNING = {
    "PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT",
    "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "POWER_UP_NODE", "EXPEDITING",
    "UPDATE_DB",
}  # fmt: skip
SCHEDULER_FAULTS = {"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "CANCELLED", "REVOKED", "DEADLINE"}


class SlurmSettings(BaseModel):
    """How to ask Slurm. `extra` lines go into the script as they are (`#SBATCH ...`, `module load ...`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sbatch: str = "sbatch"
    squeue: str = "squeue"
    sacct: str = "sacct"
    scancel: str = "scancel"
    partition: str | None = None
    account: str | None = None
    extra: tuple[str, ...] = ()
    launch: str = Field("srun", description="put before pw.x for more than one rank")
    poll_seconds: float = Field(30.0, ge=0)
    unknown_limit: int = Field(5, ge=1, description="polls without any answer about a job before it counts as lost")


class SlurmLauncher:
    """Launcher over sbatch, squeue and sacct."""

    def __init__(
        self, settings: DftSettings, slurm: SlurmSettings, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.settings = settings.model_copy(update={"mpi_command": f"{slurm.launch} -n {{ranks}}"})
        self.slurm = slurm
        self.sleep = sleep

    def start(self, directory: Path, job: Job) -> None:
        """Submit. Raises LaunchError: scheduler when sbatch refuses, missing when there is no sbatch."""
        write_atomic(directory / SCRIPT, self.script(job))
        if shutil.which(shlex.split(self.slurm.sbatch)[0]) is None:
            raise LaunchError(RunOutcome("missing", note=f"{self.slurm.sbatch} not found; is this a Slurm machine?"))
        done = _call([*shlex.split(self.slurm.sbatch), "--parsable", SCRIPT], directory)
        number = re.match(r"\s*(\d+)", done.stdout)
        if done.returncode != 0 or number is None:
            raise LaunchError(RunOutcome("scheduler", done.returncode, f"sbatch: {done.stderr.strip()[:200]}"))
        write_atomic(directory / JOB_FILE, json.dumps({"job_id": number.group(1)}))

    def started(self, directory: Path) -> bool:
        """Whether a job was submitted from here and has not ended yet."""
        number = _job_id(directory)
        return number is not None and job_state(number, self.slurm, directory) in RUNNING

    def wait(self, directory: Path, job: Job) -> RunOutcome:
        """Poll until the job has ended; squeue forgets ended jobs, then sacct or the exit code on disk has to say."""
        number, unknown = _job_id(directory), 0
        if number is None:
            return RunOutcome("scheduler", note="no job id was written down")
        while True:
            state = job_state(number, self.slurm, directory)
            if state is not None and state not in RUNNING:
                return _outcome(state, directory, job)
            if state is None and (code := _exit_code(directory)) is not None:
                return RunOutcome("exited", code)
            unknown = unknown + 1 if state is None else 0
            if unknown >= self.slurm.unknown_limit:
                return RunOutcome(
                    "scheduler", note=f"job {number} is unknown to squeue and sacct and left no exit code"
                )
            self.sleep(self.slurm.poll_seconds)

    def script(self, job: Job) -> str:
        """The job script; the exit code goes into a file, since job states don't tell codes 1, 2 and 3 apart."""
        minutes = max(1, int(job.wall_seconds // 60))
        lines = [
            "#!/bin/bash",
            "#SBATCH --job-name=dao-pw",
            f"#SBATCH --ntasks={job.ranks}",
            f"#SBATCH --time={minutes}",
        ]
        options = {"partition": self.slurm.partition, "account": self.slurm.account}
        lines += [f"#SBATCH --{name}={value}" for name, value in options.items() if value]
        if job.memory_gb:
            lines.append(f"#SBATCH --mem={round(1024 * job.memory_gb)}M")
        lines += [*self.slurm.extra, "export OMP_NUM_THREADS=1"]
        command = shlex.join(job_command(self.settings, job))
        lines += [
            f"{command} > {job.stdout} 2> {job.stderr} < /dev/null",
            f"code=$?; echo $code > {EXIT_FILE}; exit $code",
            "",
        ]
        return "\n".join(lines)

    def cancel(self, directory: Path) -> None:
        """Cancel the job of a directory, if there is one."""
        job = _job_id(directory)
        if job is not None:
            _call([*shlex.split(self.slurm.scancel), job], directory)


def job_state(job: str, slurm: SlurmSettings | None = None, directory: Path | None = None) -> str | None:
    """State of a job in Slurm's words.

    Args:
        job: Its id.
        slurm: Commands and limits; None: the defaults.
        directory: Where the commands run; None: here.

    Returns:
        The state, or None where neither squeue nor sacct knows it or answers.
    """
    slurm = slurm or SlurmSettings()
    for command in (
        [*shlex.split(slurm.squeue), "-h", "-j", job, "-o", "%T"],
        [*shlex.split(slurm.sacct), "-X", "-n", "-P", "-j", job, "-o", "State"],
    ):
        if shutil.which(command[0]) is None:
            continue
        done = _call(command, directory)
        words = done.stdout.split()
        if done.returncode == 0 and words:
            return words[0].strip("+").upper()
    return None


def _call(command: list[str], directory: Path | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def make_launcher(settings: DftSettings, slurm: SlurmSettings | None = None) -> Launcher:
    """The launcher of a run.

    Args:
        settings: Of the calculations.
        slurm: Of the queue; None runs programs here.

    Returns:
        The launcher.
    """
    return LocalLauncher(settings) if slurm is None else SlurmLauncher(settings, slurm)


def _outcome(state: str, directory: Path, job: Job) -> RunOutcome:
    if state == "TIMEOUT":
        return RunOutcome("timeout", note=f"Slurm ended it after {job.wall_seconds:.0f} s")
    if state == "OUT_OF_MEMORY":
        return RunOutcome("out_of_memory", note="Slurm: OUT_OF_MEMORY")
    if state in SCHEDULER_FAULTS:
        return RunOutcome("scheduler", note=f"Slurm: {state}")
    code = _exit_code(directory)
    if code is None:
        return RunOutcome("scheduler", note=f"Slurm says {state}, but {job.program} left no exit code")
    return (
        RunOutcome("missing", code, f"{job.program} was not found on the node")
        if code == 127
        else RunOutcome("exited", code)
    )


def _job_id(directory: Path) -> str | None:
    try:
        return str(json.loads((directory / JOB_FILE).read_text())["job_id"])
    except (OSError, ValueError, KeyError):
        return None


def _exit_code(directory: Path) -> int | None:
    try:
        return int((directory / EXIT_FILE).read_text())
    except (OSError, ValueError):
        return None
