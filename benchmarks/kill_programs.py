"""kill -9 of ph.x, projwfc.x and pp.x at random moments: are the results the same, and is finished work kept?

python benchmarks/kill_programs.py [--moments 10] [--seed 0] [--record]

Silicon at a low cutoff, so that a run takes seconds. Each round computes states, ELF and a dispersion of its own ledger
while one of the programs is killed once, at a random part of the time that it takes undisturbed; a further call must
then give the undisturbed results, without a second run of a q-point that was finished before the kill.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk
from bars import record_bar

from dao_core.artifacts import Ledger
from dao_core.crystal import Crystal
from dao_core.dft.chain import DONE, ProgramError
from dao_core.dft.electronic.analysis import analyse_electrons
from dao_core.dft.launch.base import Job
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.launch.outcome import RunOutcome
from dao_core.dft.pseudo.library import find_library
from dao_core.dft.pw.input import PwInput
from dao_core.dft.session import Session
from dao_core.dft.settings import DftSettings
from dao_core.dft.vibrations.grid import phonon_dispersion

PROGRAMS = ("ph.x", "projwfc.x", "pp.x")


class Killing(LocalLauncher):
    """Kills one program once, `after` seconds into its n-th run, and notes how long each run takes."""

    def __init__(self, settings: DftSettings, program: str = "", number: int = 1, after: float = 0.0) -> None:
        super().__init__(settings, poll_seconds=0.02)
        self.program, self.number, self.after = program, number, after
        self.killed = ""  # folder of the run that was shot
        self.runs: list[tuple[str, str, float]] = []  # program, folder, seconds

    def wait(self, directory: Path, job: Job) -> RunOutcome:
        """Watch a run; the chosen one is shot."""
        if job.program == self.program and not self.killed:
            self.number -= 1
            if self.number == 0:
                self.killed = f"{directory.parent.name}/{directory.name}"
                pid = self._children[directory].pid
                timer = threading.Timer(self.after, lambda: _shoot(pid))
                timer.start()
        begin = time.monotonic()
        outcome = super().wait(directory, job)
        self.runs.append((job.program, f"{directory.parent.name}/{directory.name}", time.monotonic() - begin))
        return outcome


def _shoot(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def compute(session: Session, pw_input: PwInput) -> dict[str, Any]:
    """States, ELF and dispersion, whatever of it can be had."""
    electrons = analyse_electrons(session, pw_input, ("states", "elf"))
    out: dict[str, Any] = dict(electrons.results)
    try:
        out["phonons"] = phonon_dispersion(session, pw_input)
    except ProgramError as error:
        out["failed"] = str(error)
    return out


def same(a: Any, b: Any) -> bool:
    """Whether two results agree: numbers within what their files print."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        try:
            return bool(np.allclose(a, b, atol=5e-3))
        except (TypeError, ValueError):
            return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(np.isclose(a, b, atol=5e-3)) if isinstance(a, float) else bool(a == b)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    settings = DftSettings(ecutwfc=16.0, wall_seconds=3600.0)
    library = find_library()
    with tempfile.TemporaryDirectory() as folder:
        session = Session(settings, library, Ledger(Path(folder) / "reference"), Killing(settings))
        pw_input = replace(session.build(Crystal.from_ase(bulk("Si")), "scf"), kpoints=(2, 2, 2))
        reference = compute(session, pw_input)
        took = session.launcher.runs  # type: ignore[attr-defined]
        good = 0
        for moment in range(args.moments):
            program = PROGRAMS[moment % len(PROGRAMS)]
            own = [seconds for name, _, seconds in took if name == program]
            number = rng.randrange(len(own))
            launcher = Killing(settings, program, number + 1, rng.uniform(0.0, own[number]))
            again = Session(settings, library, Ledger(Path(folder) / f"round{moment}"), launcher)
            compute(again, pw_input)
            result = compute(again, pw_input)
            scratch = Path(folder) / f"round{moment}" / "dft_scratch"
            finished = {f"{p.parent.parent.name}/{p.parent.name}" for p in scratch.rglob(DONE)}
            counts = {f: sum(r[1] == f for r in launcher.runs) for f in finished if f.endswith("/ph")}
            repeated = [f for f, n in counts.items() if n > 1 + (f == launcher.killed)]
            ok = bool(launcher.killed) and same(reference, result) and not repeated
            good += ok
            print(f"{moment}: {program}, {launcher.after:.2f} s: {'same' if ok else 'differs'}", flush=True)
    line = {
        "issue": "dft", "row": 6, "what": "kill -9 of ph.x, projwfc.x, pp.x at random moments: same results, finished "
        "q points not repeated", "value": good, "bar": args.moments, "met": good == args.moments, "n": args.moments,
        "command": f"python benchmarks/kill_programs.py --moments {args.moments} --seed {args.seed}", "seed": args.seed,
    }  # fmt: skip
    if args.record:
        record_bar(**line)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
