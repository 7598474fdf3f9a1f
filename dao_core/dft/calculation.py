"""One calculation to its end: run, name the failure, repair, run again; resumable, with one directory per content key.

While it runs, the rounds stand in `<ledger>/dft_scratch/<key>/round_<n>`, where they survive the death of the worker.
An end (done, accepted or failed for good) moves their files into the ledger's stage `dft_pw`. What the machine is to
blame for (no pw.x, full disk, scheduler, wall time) is no end: the rounds stay, the next call goes on there.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dao_core.artifacts import ArtifactError, Ledger, write_atomic
from dao_core.dft.launch.base import Launcher, LaunchError
from dao_core.dft.launch.outcome import RunOutcome
from dao_core.dft.pw.input import Action, InputMismatchError, PwInput, from_dict
from dao_core.dft.pw.job import pw_job
from dao_core.dft.pw.output import PwOutput, parse_directory
from dao_core.dft.pw.result import RESULT, PwResult, Status, read_result, result_to_dict
from dao_core.dft.pw.write import INPUT_JSON, write_input
from dao_core.dft.repair.failures import NONE, classify, is_final, repair

STAGE, SCRATCH, OUTCOME = "dft_pw", "dft_scratch", "outcome.json"


@dataclass(frozen=True)
class RunLimits:
    """How many runs one call may make, whether a finished one keeps wavefunctions and charge, how to wait."""

    max_rounds: int = 5
    keep_scratch: bool = False
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class _End:
    """How the last round ended: its folder, when the call began, what it wrote, the failure's name."""

    folder: Path
    begin: float
    output: PwOutput
    failure: str


class _BlockedError(Exception):
    def __init__(self, result: PwResult) -> None:
        super().__init__(result.message)
        self.result = result


def calculate(
    pw_input: PwInput,
    launcher: Launcher,
    ledger: Ledger,
    limits: RunLimits | None = None,
) -> PwResult:
    """Run a calculation to its end.

    Never raises for a failure of pw.x, the machine or the scheduler: they are in the result's status and `failure`.
    A finished one is read back from the ledger; an unfinished one continues from its last good structure.

    Args:
        pw_input: What to compute.
        launcher: Where pw.x runs.
        ledger: Where the result is kept; unfinished rounds lie in its folder `dft_scratch`.
        limits: How many runs this call may make, and what stays of a finished one.

    Returns:
        The result; `directory` holds the files of every run.
    """
    limits = limits or RunLimits()
    key = pw_input.key()
    scratch = ledger.root / SCRATCH / key

    def work(directory: Path) -> dict[str, Any]:
        result = _rounds(pw_input, launcher, scratch, limits)
        if result.status == "blocked":
            raise _BlockedError(result)
        for path in sorted(scratch.glob("round_*")):
            shutil.copytree(path, directory / path.name)
        write_atomic(directory / RESULT, json.dumps(result_to_dict(result), indent=1))
        return {"counts": {"rounds": result.rounds}, "facts": {"status": result.status, "failure": result.failure}}

    try:
        record = ledger.run(STAGE, key, work)
    except _BlockedError as blocked:
        return blocked.result
    except ArtifactError as error:
        return PwResult(key, "blocked", "disk_full", str(error), str(scratch))
    except FileNotFoundError as error:
        note = f"{error.filename} was removed while the calculation was recorded; run it again"
        return PwResult(key, "blocked", "folder_removed", note, str(scratch))
    if not limits.keep_scratch:
        shutil.rmtree(scratch, ignore_errors=True)
    return read_result(record)


def _rounds(start: PwInput, launcher: Launcher, scratch: Path, limits: RunLimits) -> PwResult:
    begin = time.monotonic()
    current, number = _resume(start, launcher, scratch)
    last = number + limits.max_rounds - 1
    while True:
        folder = scratch / f"round_{number}"
        try:
            output, outcome = _one_round(current, launcher, folder)
        except OSError as error:
            output, outcome = PwOutput(), RunOutcome("disk_full", note=str(error))
        end = _End(folder, begin, output, classify(current, output, outcome))
        if end.failure == NONE:
            return _result(current, end, "done", "")
        current, action = repair(current, output, end.failure)
        _note(folder, outcome, action)
        note = "; ".join(x for x in (action.note, outcome.note) if x)
        if action.decision == "accept":
            return _result(current, end, "accepted", note)
        if action.decision == "give_up" or number >= last:
            if action.decision != "give_up":
                note = f"still {end.failure} after {limits.max_rounds} runs; {note}".rstrip("; ")
            return _result(current, end, "failed" if is_final(end.failure) else "blocked", note)
        if "delay_seconds" in action.changes:
            limits.sleep(float(action.changes["delay_seconds"]))
        number += 1


def _one_round(current: PwInput, launcher: Launcher, folder: Path) -> tuple[PwOutput, RunOutcome]:
    runnable = replace(current, restart=_possible_restart(current, folder.parent / "out"))
    try:
        if launcher.started(folder):  # asked before the output is read: a job may end in between
            outcome = launcher.wait(folder, pw_job(runnable))
        elif _finished_unseen(folder, parse_directory(folder, current.crystal)):
            outcome = RunOutcome("lost")
        else:
            write_input(runnable, folder)
            launcher.start(folder, pw_job(runnable))
            outcome = launcher.wait(folder, pw_job(runnable))
    except LaunchError as error:
        outcome = error.outcome
    except InputMismatchError as error:
        return PwOutput(routine="write_input", message=str(error), text_length=1), RunOutcome("exited", 1)
    if outcome.kind == "folder_removed":  # whatever it wrote lies in files that nobody can open
        return PwOutput(), outcome
    output = parse_directory(folder, current.crystal)
    if outcome.kind == "lost":  # the exit status went with the worker; what the output says has to do
        outcome = RunOutcome("exited", 0 if output.job_done and not output.routine else 1, outcome.note)
    return output, outcome


def _possible_restart(current: PwInput, out: Path) -> Literal["scratch", "charge", "full"]:
    """Restart only from what is there: pw.x stops with an error on an empty `out`."""
    schema, charge = _saved(out)
    if current.restart == "full" and schema and charge:
        return "full"
    return "charge" if current.restart != "scratch" and charge else "scratch"


def _saved(out: Path) -> tuple[bool, bool]:
    """Whether pw.x left its data file and its charge density."""
    return any(out.glob("*.save/data-file-schema.xml")), any(out.glob("*.save/charge-density.*"))


def _resume(start: PwInput, launcher: Launcher, scratch: Path) -> tuple[PwInput, int]:
    """Input and number of the next round; one without an outcome was cut off: wait for it, read it, or repair it."""
    numbers = sorted(int(p.name.split("_")[1]) for p in scratch.glob("round_*") if (p / INPUT_JSON).exists())
    if not numbers:
        return start, 1
    folder = scratch / f"round_{numbers[-1]}"
    try:
        previous = from_dict(json.loads((folder / INPUT_JSON).read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return start, numbers[-1] + 1
    previous = replace(previous, wall_seconds=start.wall_seconds, smearing=start.smearing)
    running = launcher.started(folder)  # asked before the output is read: a job may end in between
    output = parse_directory(folder, previous.crystal)
    if running or _finished_unseen(folder, output):
        return previous, numbers[-1]
    if (folder / OUTCOME).exists():
        # a new call begins with a clean slate of repairs, at the last structure and with the last parameters; that
        # occupations are not those that were asked for stays known, or its energy would pass for one with them
        moved = replace(previous, crystal=output.crystal or previous.crystal, restart="scratch")
        occupied = tuple(a for a in previous.history if {"smearing", "occupations"} & a.changes.keys())
        return replace(moved, history=occupied), numbers[-1] + 1
    repaired, action = repair(previous, output, "interrupted")
    _note(folder, RunOutcome("lost", note="the worker ended first"), action)
    return repaired, numbers[-1] + 1


def _finished_unseen(folder: Path, output: PwOutput) -> bool:
    return output.job_done and not (folder / OUTCOME).exists()


def _note(folder: Path, outcome: RunOutcome, action: Action) -> None:
    content = {"outcome": asdict(outcome), "failure": action.failure, "action": vars(action)}
    try:
        write_atomic(folder / OUTCOME, json.dumps(content, indent=1, default=str))
    except OSError:
        return  # a full disk, a removed folder: the action is still in the result


def _result(pw_input: PwInput, end: _End, status: Status, note: str) -> PwResult:
    output, scratch = end.output, end.folder.parent
    error = f"{output.routine}: {output.message}" if output.routine and status != "done" else ""
    message = "; ".join(dict.fromkeys(x for x in (note, error if error not in note else "") if x))
    return PwResult(
        key=scratch.name,
        status=status,
        failure=end.failure,
        message=message,
        directory=str(scratch),
        crystal=output.crystal,
        energy=output.energy,
        forces=None if output.forces is None else tuple(map(tuple, output.forces.tolist())),
        stress=None if output.stress is None else tuple(map(tuple, output.stress.tolist())),
        total_magnetization=output.total_magnetization,
        absolute_magnetization=output.absolute_magnetization,
        site_moments=output.site_moments,
        actions=pw_input.history,
        rounds=int(end.folder.name.split("_")[1]),
        wall_seconds=round(time.monotonic() - end.begin, 2),
        version=output.version,
    )
