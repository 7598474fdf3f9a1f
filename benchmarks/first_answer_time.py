"""Seconds from typing `dao predict FORMULA` to its first table and to the first one that was judged.

DAO_LIBRARY=DIR python benchmarks/first_answer_time.py [--formula SrTiO3] [--runs 3] [--record]

A new process each time, one thread, its output read as it comes: the first line of a table counts. Prints one JSON line
last, the median of the runs and the processor's seconds beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from bars import cpu_seconds, record_bar

FIRST, JUDGED = "known and likely, before any relaxation", "so far"
BAR = [4.0, 30.0]


def run_once(formula: str) -> dict[str, float]:
    """Wall seconds to both tables and to the end, and the processor's seconds of all of it."""
    before, begin = cpu_seconds(), time.perf_counter()
    command = [sys.executable, "-u", "-m", "flows.cli.main", "predict", formula]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                             env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    seen: dict[str, float] = {}
    assert child.stdout is not None
    for line in child.stdout:
        for name, words in (("first", FIRST), ("judged", JUDGED)):
            if line.startswith(words):
                seen.setdefault(name, time.perf_counter() - begin)
    child.wait()
    return {**seen, "end": time.perf_counter() - begin, "cpu": cpu_seconds() - before}


def main() -> None:
    """Measure, print, and record if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formula", default="SrTiO3")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    runs = [run_once(args.formula) for _ in range(args.runs)]
    middle = {name: round(statistics.median(r[name] for r in runs), 1) for name in ("first", "judged", "end", "cpu")}
    value = [middle["first"], middle["judged"]]
    line = {
        "issue": "first-answer", "row": 7, "what": f"dao predict {args.formula}: s to the first / to the judged table",
        "value": value, "bar": BAR, "met": all(v <= b for v, b in zip(value, BAR, strict=True)), "n": len(runs),
        "interval": f"first {min(r['first'] for r in runs):.1f}-{max(r['first'] for r in runs):.1f} s, "
        f"judged {min(r['judged'] for r in runs):.1f}-{max(r['judged'] for r in runs):.1f} s",
        "details": middle, "seed": 0, "command": f"python benchmarks/first_answer_time.py --runs {args.runs} --record",
    }  # fmt: skip
    if args.record:
        record_bar(**line)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
