"""How long `dao --help` and `dao status` take, as a person at the terminal sees it: whole processes, in turn.

python benchmarks/command_start.py --repeats 15
`status` looks at a folder with fifty runs of ten stages each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bars import machine, record_bar

RUNS, STAGES = 50, 10


def make_runs(folder: Path) -> None:
    """Fifty finished runs."""
    from tasks.run_log import RunLog

    for i in range(RUNS):
        run = RunLog(folder / f"run-{i:02d}", name=f"run-{i:02d}", command="dao campaign c.yaml")
        for k in range(STAGES):
            with run.stage(f"stage {k}") as entry:
                entry["counts"] = {"n_asked": 10, "n_ok": 9, "n_failed": 1}
        run.finish("completed")


def seconds(*arguments: str) -> tuple[float, float]:
    """Wall and CPU seconds of one command."""
    before = os.times()
    begin = time.perf_counter()
    subprocess.run([str(Path(sys.executable).with_name("dao")), *arguments], check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - begin
    after = os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="status-") as folder:
        make_runs(Path(folder))
        pairs = [(seconds("--help"), seconds("status", "--root", folder)) for _ in range(args.repeats)]
    starts, statuses = ([p[i][0] for p in pairs] for i in (0, 1))
    cpu = [round(median(p[i][1] for p in pairs), 3) for i in (0, 1)]
    value = [round(median(starts), 3), round(median(statuses), 3)]
    ranges = [[round(min(x), 2), round(max(x), 2)] for x in (starts, statuses)]
    print(json.dumps({"figure": value, "unit": "s", "n": args.repeats, "seed": None, "cpu_s": cpu, "range": ranges,
                      "machine": machine()}))  # fmt: skip
    record_bar(
        issue="orchestration",
        row=4,
        what="`dao --help` and `dao status` (50 runs), s of wall time",
        value=value,
        bar=[0.5, 2],
        met=value[0] <= 0.5 and value[1] <= 2,
        n=args.repeats,
        cpu_seconds=cpu,
        interval=f"medians; smallest and largest {ranges}",
        command=f"python benchmarks/command_start.py --repeats {args.repeats}",
        seed=None,
        machine=machine(),
    )


if __name__ == "__main__":
    main()
