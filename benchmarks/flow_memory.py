"""Memory of the flow process over many task runs: one Prefect task a shard, on threads, every result collected.

python benchmarks/flow_memory.py --tasks 10000
Resident memory is read after every 100 task runs; the figure is the largest growth after the first 1,000, in percent of
what it was then (medians of 500 task runs, so that one reading decides nothing).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bars import machine, record_bar

from tests.server.services import Server, running


def resident_mib() -> float:
    """Resident memory of this process, MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(tasks: int, root: str) -> list[float]:
    """MiB after every 100 task runs."""
    from dao_core.artifacts import StageRecord
    from tasks.config import Workers
    from tasks.prefect_api import flow, task
    from tasks.workers import FanOut, RunStage, WorkerPool

    @task(name="tiny")
    def tiny(number: int) -> StageRecord:
        return StageRecord("tiny", f"{number:020d}", f"/nowhere/{number}", {"n_asked": 1, "n_ok": 1, "n_failed": 0})

    seen: list[float] = []

    def look(done: int, _: int) -> None:
        if done % 100 == 0:
            gc.collect()
            seen.append(resident_mib())

    @flow(name="memory")
    def memory() -> int:
        pool = WorkerPool(Workers(workers=2))
        fan_out = FanOut(tiny, range(tasks), (), RunStage(root, "memory", "tiny"), batch=1)
        records = pool.each(fan_out, on_done=look)
        pool.close()
        return len(records)

    assert memory() == tasks
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    args = parser.parse_args()
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        server = Server(Path(folder))
        with running(server):
            os.environ["PREFECT_API_URL"] = server.url
            os.environ["PREFECT_LOGGING_LEVEL"] = "WARNING"
            seen = measure(args.tasks, folder)
    base = median(seen[8:13])  # around task run 1,000
    later = [median(seen[i : i + 5]) for i in range(10, len(seen) - 4)]
    growth = round(100 * (max(later) / base - 1), 2)
    every_1000 = [round(x) for x in seen[9::10]]
    seconds = round(time.perf_counter() - begin)
    print(json.dumps({"figure": growth, "unit": "%", "n": args.tasks, "seed": None, "mib": every_1000,
                      "seconds": seconds, "machine": machine()}))  # fmt: skip
    if args.tasks < 10_000:
        return  # a trial
    record_bar(
        issue="orchestration",
        row=3,
        what="growth of the flow process's memory over 10,000 task runs after the first 1,000, %",
        value=growth,
        bar=10,
        met=growth <= 10,
        n=args.tasks,
        mib_every_1000=every_1000,
        interval="largest median of five readings against the one at 1,000; one run",
        command=f"python benchmarks/flow_memory.py --tasks {args.tasks}",
        seed=None,
        machine=machine(),
    )


if __name__ == "__main__":
    main()
