"""Seconds from typing `dao predict FORMULA` to its first table and to the first one that was judged.

DAO_LIBRARY=DIR python benchmarks/first_answer_time.py [--formula SrTiO3] [--runs 3] [--record]

A new process each time, one thread, its output read as it comes: the first line of a table counts. Prints one JSON line
last, the median of the runs and beside it the processor's seconds up to each table, which other work on the machine
lengthens less. A table that never came, since the time budget ended before it, counts as not there.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bars import cpu_seconds, show_bar

FIRST, JUDGED = "known and likely, before any relaxation", "so far"
BAR = [4.0, 30.0]
KINDS = ("first", "judged", "end", "cpu_first", "cpu_judged", "cpu_end")


def run_once(formula: str) -> dict[str, float]:
    """Seconds to both tables and to the end, on the clock and, as `cpu_...`, of the processor."""
    begin = time.perf_counter()
    command = [sys.executable, "-u", "-m", "flows.cli.main", "predict", formula]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                             env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    seen: dict[str, float] = {}
    assert child.stdout is not None
    for line in child.stdout:
        for name, words in (("first", FIRST), ("judged", JUDGED)):
            if line.startswith(words) and name not in seen:
                seen |= {name: time.perf_counter() - begin, f"cpu_{name}": seconds_used(child.pid)}
    before = cpu_seconds()
    child.wait()
    return {**seen, "end": time.perf_counter() - begin, "cpu_end": cpu_seconds() - before}


def seconds_used(pid: int) -> float:
    """The processor's seconds that a running process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, print, and record if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formula", default="SrTiO3")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    runs = [run_once(args.formula) for _ in range(args.runs)]
    seen = {name: [round(r[name], 1) for r in runs if name in r] for name in KINDS}
    middle = {name: round(statistics.median(values), 1) if values else None for name, values in seen.items()}
    value = [middle["first"], middle["judged"]]
    met = all(v is not None and v <= b for v, b in zip(value, BAR, strict=True))
    line = {
        "issue": "first-answer", "row": 7, "what": f"dao predict {args.formula}: s to the first / to the judged table",
        "value": value, "bar": BAR, "met": met and len(seen["judged"]) == len(runs), "n": len(runs),
        "interval": seen, "details": middle, "seed": 0,
        "command": f"python benchmarks/first_answer_time.py --runs {args.runs} --record",
    }  # fmt: skip
    show_bar(line, record=args.record)


if __name__ == "__main__":
    main()
