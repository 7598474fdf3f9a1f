"""kill -9 of ph.x, projwfc.x and pp.x at random moments: are the results the same, and is finished work kept?

python benchmarks/kill_programs.py [--moments 10] [--seed 0] [--work runs/kill_programs] [--record]

Silicon at a low cutoff on a coarse mesh, so that a run takes seconds; a repeated command goes on with the rounds that
are left. Each round computes states, ELF and a dispersion of its own ledger while one of the programs is killed once,
at a random part of the time that it takes undisturbed; a further call must then give the undisturbed results, without a
second run of a q-point that was finished before the kill.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ase.build import bulk
from bars import show_bar

from dao_core.artifacts import Ledger
from dao_core.crystal import Crystal
from dao_core.dft.chain import DONE, ProgramError
from dao_core.dft.electronic.analysis import analyse_electrons
from dao_core.dft.launch.base import Job
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.launch.outcome import RunOutcome
from dao_core.dft.pseudo.library import PseudoLibrary, find_library
from dao_core.dft.pw.input import PwInput
from dao_core.dft.session import Session
from dao_core.dft.settings import PROTOCOLS_FILE, DftSettings
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
        name, aimed = f"{directory.parent.name}/{directory.name}", False
        if job.program == self.program and self.number > 0:
            self.number -= 1
            if self.number == 0:
                aimed = True
                pid = self._children[directory].pid
                timer = threading.Timer(self.after, lambda: _shoot(pid))
                timer.start()
        begin = time.monotonic()
        outcome = super().wait(directory, job)
        if aimed and outcome.returncode == -signal.SIGKILL:
            self.killed = name  # it may also have ended before the shot
        self.runs.append((job.program, name, time.monotonic() - begin))
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


@dataclass(frozen=True)
class Bench:
    """What all rounds share: settings for short runs, the pseudopotentials, and where results lie."""

    settings: DftSettings
    library: PseudoLibrary
    work: Path

    def session(self, folder: str, launcher: Killing) -> Session:
        """A session with a ledger of its own."""
        return Session(self.settings, self.library, Ledger(self.work / folder), launcher)

    def ground_state(self, session: Session) -> PwInput:
        """The SCF of silicon."""
        return session.build(Crystal.from_ase(bulk("Si")), "scf")


def prepare(work: Path) -> Bench:
    """Settings in which every run takes seconds: a coarse mesh and a low cutoff."""
    work.mkdir(parents=True, exist_ok=True)
    protocols = yaml.safe_load(PROTOCOLS_FILE.read_text())
    protocols["fast"] |= {"kpoint_distance": 1.0, "dos_kpoint_factor": 0.8, "path_density": 2.0}
    path = work / "protocols.yaml"
    path.write_text(yaml.safe_dump(protocols))
    settings = DftSettings(protocols_file=path, ecutwfc=16.0, wall_seconds=3600.0, keep_scratch=True)
    return Bench(settings, find_library(), work)


def undisturbed(bench: Bench) -> tuple[dict[str, Any], list[tuple[str, str, float]]]:
    """The results to reach, and how long each run takes; measured once for a work folder."""
    session = bench.session("reference", Killing(bench.settings))
    path = bench.work / "runs.json"
    if not path.exists():
        shutil.rmtree(bench.work / "reference", ignore_errors=True)
    reference = compute(session, bench.ground_state(session))
    if not path.exists():
        path.write_text(json.dumps(session.launcher.runs))  # type: ignore[attr-defined]
    return reference, json.loads(path.read_text())


def one_round(bench: Bench, moment: int, launcher: Killing, reference: dict[str, Any]) -> dict[str, Any]:
    """One kill and what the next call makes of it."""
    folder = f"round{moment}"
    shutil.rmtree(bench.work / folder, ignore_errors=True)
    session = bench.session(folder, launcher)
    pw_input = bench.ground_state(session)
    program, after = launcher.program, launcher.after
    compute(session, pw_input)
    result = compute(session, pw_input)
    scratch = bench.work / folder / "dft_scratch"
    finished = {f"{p.parent.parent.name}/{p.parent.name}" for p in scratch.rglob(DONE)}
    counts = {f: sum(r[1] == f for r in launcher.runs) for f in finished if f.endswith("/ph")}
    repeated = [f for f, n in counts.items() if n > 1 + (f == launcher.killed)]
    return {
        "moment": moment, "program": program, "after_seconds": round(after, 2), "killed": launcher.killed,
        "same": same(reference, result), "repeated": repeated,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/kill_programs"))
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    bench = prepare(args.work)
    reference, took = undisturbed(bench)
    log = args.work / f"moments_{args.seed}.jsonl"
    rounds = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    for moment in range(len(rounds), args.moments):
        rng = random.Random(f"{args.seed} {moment}")
        program = PROGRAMS[moment % len(PROGRAMS)]
        own = [seconds for name, _, seconds in took if name == program]
        row: dict[str, Any] = {"killed": ""}
        while not row["killed"]:  # a shot may come after the end of a run that was quicker this time
            number = rng.randrange(len(own))
            launcher = Killing(bench.settings, program, number + 1, rng.uniform(0.0, own[number]))
            row = one_round(bench, moment, launcher, reference)
        rounds.append(row)
        with log.open("a") as handle:
            handle.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
        shutil.rmtree(args.work / f"round{moment}", ignore_errors=True)
    good = sum(bool(r["killed"]) and r["same"] and not r["repeated"] for r in rounds[: args.moments])
    line: dict[str, Any] = {
        "issue": "dft", "row": 6, "what": "kill -9 of ph.x, projwfc.x, pp.x at random moments: same results, finished "
        "q points not repeated", "value": [good, args.moments], "bar": [10, 10], "met": good == args.moments >= 10,
        "n": len(rounds), "interval": None, "seed": args.seed,
        "command": f"python benchmarks/kill_programs.py --moments {args.moments} --seed {args.seed}",
    }  # fmt: skip
    if not line["met"]:
        line["why"] = "; ".join(f"moment {r['moment']}: {r}" for r in rounds if not r["same"] or r["repeated"])
    show_bar(line, record=args.record)


if __name__ == "__main__":
    main()
