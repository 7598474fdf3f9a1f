#!/usr/bin/env python3
"""A Slurm of one folder: `sbatch`, `squeue`, `sacct` and `scancel` beside this file are this script under other names.

State lies in $FAKE_SLURM_DIR, one folder a job. A job is a process of its own, so it outlives whoever submitted it.
`$FAKE_SLURM_DIR/plan`, one word a submission, makes things go wrong: `ok` runs; `refuse` fails at sbatch; NODE_FAIL,
TIMEOUT, OUT_OF_MEMORY, PREEMPTED, CANCELLED end the job in that state without running it; `hold` leaves it pending
until it is cancelled; `forget` runs it, but squeue and sacct never know it; `down` breaks the first squeue and sacct.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(os.environ["FAKE_SLURM_DIR"])
STATES = {"NODE_FAIL", "TIMEOUT", "OUT_OF_MEMORY", "PREEMPTED", "CANCELLED"}


def next_word() -> str:
    """The plan's next word; `ok` when it is used up."""
    plan = ROOT / "plan"
    words = plan.read_text().split() if plan.exists() else []
    if not words:
        return "ok"
    plan.write_text("\n".join(words[1:]))
    return words[0]


def sbatch(script: str) -> int:
    """Submit; prints the job id as `sbatch --parsable` does."""
    word = next_word()
    if word == "refuse":
        sys.stderr.write("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n")
        return 1
    job = 1 + len([p for p in ROOT.iterdir() if p.is_dir()])
    folder = ROOT / str(job)
    folder.mkdir()
    (folder / "word").write_text(word)
    (folder / "directory").write_text(str(Path.cwd()))
    if word in STATES or word == "hold":
        (folder / "state").write_text("PENDING" if word == "hold" else word)
    else:
        (folder / "state").write_text("RUNNING")
        done = 'if [ "$c" = 0 ]; then s=COMPLETED; else s=FAILED; fi'
        shutil.copy(script, folder / "script")  # as Slurm does: who submitted it may delete it at once
        runner = f"bash {folder}/script; c=$?; {done}; echo $s > {folder}/state"
        subprocess.Popen(
            ["bash", "-c", runner],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    print(job)
    return 0


def state_of(job: str) -> str | None:
    """State of a job, or None where this Slurm has forgotten it."""
    folder = ROOT / job
    if not folder.exists() or (folder / "word").read_text() == "forget":
        return None
    return (folder / "state").read_text().strip()


def broken(job: str, who: str) -> bool:
    """Whether this is the one query that a `down` job's controller doesn't answer."""
    folder = ROOT / job
    flag = folder / f"{who}_was_down"
    if folder.exists() and (folder / "word").read_text() == "down" and not flag.exists():
        flag.touch()
        sys.stderr.write("slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n")
        return True
    return False


def main() -> int:
    who = Path(sys.argv[0]).name
    if who == "sbatch":
        return sbatch(sys.argv[-1])
    job = sys.argv[sys.argv.index("-j") + 1] if "-j" in sys.argv else sys.argv[-1]
    if who == "scancel":
        (ROOT / job / "state").write_text("CANCELLED")
        return 0
    if broken(job, who):
        return 1
    state = state_of(job)
    alive = state in ("PENDING", "RUNNING")
    if state is not None and (who == "sacct" or alive):  # squeue forgets ended jobs
        print(state)
    return 0


if __name__ == "__main__":
    sys.exit(main())
