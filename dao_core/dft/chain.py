"""Programs that work on one ground state: an SCF whose files are kept, and what reads them (projwfc.x, pp.x, ph.x).

A chain lies in `<ledger>/dft_scratch/<key>-chain`. Each finished step leaves `done.json` with the hash of its input, so
that a repeated call goes on after the last one; a step that was cut off is run anew in a clean folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from dao_core.artifacts import file_sha256, write_atomic
from dao_core.dft.calculation import SCRATCH, STAGE
from dao_core.dft.launch.base import Job, LaunchError
from dao_core.dft.launch.local import OUT
from dao_core.dft.launch.outcome import RunOutcome
from dao_core.dft.pw.build import PREFIX
from dao_core.dft.pw.input import PwInput, from_dict
from dao_core.dft.pw.job import pw_job
from dao_core.dft.pw.output import STDERR, STDOUT, parse_directory, parse_text
from dao_core.dft.pw.write import INPUT_JSON, write_input
from dao_core.dft.repair.failures import NONE, classify, is_final
from dao_core.dft.session import Session

DONE, INPUT, OUTPUT = "done.json", "input", "output"
TRIES = 2  # a program that is killed from outside is run once more
SAVE = f"{PREFIX}.save"
# what the machine is to blame for -> its name in the table of failures
BY_OUTCOME = {
    "missing": "pw_missing", "timeout": "killed_at_walltime", "stalled": "hanging", "out_of_memory": "out_of_memory",
    "disk_full": "disk_full", "scheduler": "scheduler", "folder_removed": "folder_removed",
}  # fmt: skip
PROGRAM_VERSION = re.compile(r"Program \S+ v\.(\S+)")
SAVED_BY = re.compile(r'<creator NAME="PWSCF" VERSION="([^"]+)"')
SAVED_HEAD = 4000  # characters of pw.x's XML file that hold it
NO_CONVERGENCE = "No convergence has been achieved"  # ph.x and hp.x; "JOB DONE." stands beside it
NOT_COPIED = "wfc*"  # wavefunctions belong to the k-points of one calculation


class ProgramError(RuntimeError):
    """A program of the suite failed.

    Attributes:
        program: Which one.
        failure: The name of the failure, as in the table of pw.x failures.
        final: Whether repeating the call would end the same way.
    """

    def __init__(self, program: str, failure: str, message: str) -> None:
        super().__init__(f"{program}: {failure.replace('_', ' ')}: {message}".rstrip(": "))
        self.program = program
        self.failure = failure
        self.final = is_final(failure)


@dataclass(frozen=True)
class Chain:
    """One folder of steps that share `out`, pw.x's folder of charge density and wavefunctions."""

    session: Session
    folder: Path
    crystal_input: PwInput

    @property
    def save(self) -> Path:
        """The folder in which pw.x left the ground state."""
        return self.folder / OUT / SAVE

    def pw(self, name: str, pw_input: PwInput) -> Path:
        """Run pw.x as a step of the chain.

        Args:
            name: Of the step, for the record.
            pw_input: What pw.x gets.

        Returns:
            Folder of the run.

        Raises:
            ProgramError: pw.x gave no result.
        """
        step = self.folder / name
        digest = pw_input.key()
        if self._done(step, digest):
            return step
        self._clean(step)
        write_input(pw_input, step)
        outcome = self._launch(step, pw_job(pw_input))
        output = parse_directory(step, pw_input.crystal)
        failure = classify(pw_input, output, outcome)
        if failure != NONE:
            raise ProgramError("pw.x", failure, f"{output.routine} {output.message} {outcome.note}".strip())
        return self._finish(step, digest)

    def run(
        self, name: str, program: str, text: str, *, hours: float | None = None, reads: Sequence[Path] = ()
    ) -> Path:
        """Run a program on the ground state.

        Args:
            name: Name of the step, its folder below the chain's.
            program: Such as "projwfc.x"; it lies beside pw.x.
            text: Its input file.
            hours: Longest time; by default that of a pw.x run.
            reads: Files of earlier steps that it works on: with another content it is run again.

        Returns:
            The folder of the step, which holds `output` and the program's own files.

        Raises:
            ProgramError: It is not installed, was killed, stopped with an error or wrote no "JOB DONE.".
        """
        step = self.folder / name
        digest = _digest(program, text, reads)
        if self._done(step, digest):
            return step
        settings = self.session.settings
        wall = settings.wall_seconds if hours is None else 3600 * hours
        job = Job(program, INPUT, OUTPUT, STDERR, wall_seconds=wall, ranks=settings.ranks)
        for attempt in range(1, TRIES + 1):
            self._clean(step)
            write_atomic(step / INPUT, text)
            outcome = self._launch(step, job)
            failure, message = _program_failure(step, outcome)
            if failure == NONE:
                self._check_version(step, program)
                return self._finish(step, digest)
            if failure not in ("out_of_memory", "interrupted") or attempt == TRIES:
                break
        raise ProgramError(program, failure, message)

    def tool(self, name: str, command: str, arguments: tuple[str, ...]) -> Path:
        """Run a program that is none of the suite; it is done when it exits with 0. Raises ProgramError."""
        step = self.folder / name
        digest = _digest(command, " ".join(arguments))
        if self._done(step, digest):
            return step
        self._clean(step)
        wall = self.session.settings.wall_seconds
        outcome = self._launch(step, Job(command, INPUT, OUTPUT, STDERR, wall_seconds=wall, arguments=arguments))
        if outcome.kind != "exited" or outcome.returncode:
            note = outcome.note or f"it ended with status {outcome.returncode}: {_text(step / STDERR).strip()[-200:]}"
            raise ProgramError(command, BY_OUTCOME.get(outcome.kind, "crashed"), note)
        return self._finish(step, digest)

    def finished(self, name: str, program: str, text: str) -> Path | None:
        """Look for a step that was done before.

        Args:
            name: Of the step.
            program: Such as "projwfc.x".
            text: Its input.

        Returns:
            Folder of the step, None where it wasn't done with this input.
        """
        step = self.folder / name
        return step if self._done(step, _digest(program, text)) else None

    def branch(self, name: str, *, wavefunctions: bool = False) -> Chain:
        """A chain of its own that starts from this one's charge density, for bands and DOS need other k-points.

        Args:
            name: Of the branch.
            wavefunctions: Whether the wavefunctions come along.

        Returns:
            The branch.
        """
        folder = self.folder / name
        target = folder / OUT / SAVE
        if not (target / "data-file-schema.xml").exists():
            shutil.rmtree(folder, ignore_errors=True)
            temporary = folder / OUT / f"{SAVE}.tmp"
            ignore = None if wavefunctions else shutil.ignore_patterns(NOT_COPIED)
            shutil.copytree(self.save, temporary, ignore=ignore)
            for path in (self.folder / OUT).glob(f"{PREFIX}.occup*"):  # of Hubbard U
                shutil.copyfile(path, folder / OUT / path.name)
            temporary.rename(target)
        return replace(self, folder=folder)

    def _check_version(self, step: Path, program: str) -> None:
        """Raises ProgramError where a program of another version read pw.x's files: formats differ without a word."""
        own = PROGRAM_VERSION.search(_text(step / OUTPUT))
        pw = SAVED_BY.search(_text(self.save / "data-file-schema.xml")[:SAVED_HEAD])
        if own and pw and own.group(1) != pw.group(1):
            note = f"version {own.group(1)} on the files of pw.x {pw.group(1)}: use one suite, `command` names its pw.x"
            raise ProgramError(program, "crashed", note)

    def _launch(self, step: Path, job: Job) -> RunOutcome:
        launcher = self.session.launcher
        try:
            launcher.start(step, job)
            return launcher.wait(step, job)
        except LaunchError as error:
            return error.outcome

    def _done(self, step: Path, digest: str) -> bool:
        try:
            return bool(json.loads((step / DONE).read_text())["input"] == digest)
        except (OSError, ValueError, KeyError):
            return False

    def _clean(self, step: Path) -> None:
        shutil.rmtree(step, ignore_errors=True)
        step.mkdir(parents=True)

    def _finish(self, step: Path, digest: str) -> Path:
        write_atomic(step / DONE, json.dumps({"input": digest}))
        return step


def _digest(program: str, text: str, reads: Sequence[Path] = ()) -> str:
    digest = hashlib.sha256(f"{program}\n{text}".encode())
    for path in reads:
        digest.update(file_sha256(path).encode())
    return digest.hexdigest()


@contextmanager
def ground_state(session: Session, pw_input: PwInput) -> Iterator[Chain]:
    """The chain of a crystal, its SCF done; two processes with the same one take turns.

    Args:
        session: Settings, ledger, launcher.
        pw_input: Input of the SCF. Where the ledger has its result, the input that succeeded in the end is used.

    Yields:
        The chain; its folder stays until `remove_chain`.

    Raises:
        ProgramError: The SCF failed.
    """
    folder = session.ledger.root / SCRATCH / f"{pw_input.key()}-chain"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        chain = Chain(session, folder, _repaired(session, pw_input))
        if not (chain.save / "data-file-schema.xml").exists():
            shutil.rmtree(folder, ignore_errors=True)
        chain.pw("scf", replace(chain.crystal_input, restart="scratch"))
        yield chain


def remove_chain(session: Session, pw_input: PwInput) -> None:
    """Delete the wavefunctions and charge densities of a crystal; results lie in the ledger."""
    folder = session.ledger.root / SCRATCH / f"{pw_input.key()}-chain"
    shutil.rmtree(folder, ignore_errors=True)


def _repaired(session: Session, pw_input: PwInput) -> PwInput:
    """The input of the last round of a finished calculation, with all repairs; else the input itself."""
    record = session.ledger.find(STAGE, pw_input.key())
    rounds = sorted(Path(record.path).glob("round_*"), key=lambda p: int(p.name[6:])) if record else []
    try:
        return from_dict(json.loads((rounds[-1] / INPUT_JSON).read_text())) if rounds else pw_input
    except (OSError, ValueError, KeyError, TypeError):
        return pw_input


def _program_failure(step: Path, outcome: RunOutcome) -> tuple[str, str]:
    """Name and message of what went wrong with a program other than pw.x."""
    if outcome.kind in BY_OUTCOME:
        return BY_OUTCOME[outcome.kind], outcome.note
    text, crash, stderr = (_text(step / name) for name in (OUTPUT, "CRASH", STDERR))
    output = parse_text(text, crash=crash, stderr=stderr)
    if "No space left on device" in output.log:
        return "disk_full", "no space left on device"
    if output.routine:
        return "crashed", f"{output.routine}: {output.message}"
    if NO_CONVERGENCE in text:
        return "scf_not_converged", "the response to a perturbation did not converge"
    if "JOB DONE." not in text:
        return ("no_output" if not text else "interrupted"), output.message or outcome.note
    return NONE, ""


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return ""


__all__ = ["OUTPUT", "STDOUT", "Chain", "ProgramError", "ground_state", "remove_chain"]
