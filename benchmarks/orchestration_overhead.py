"""What orchestration costs: a flow of many shards on Dask against a plain loop over the same work, in turn in one run.

python benchmarks/orchestration_overhead.py --shards 1000 --seconds 1 --workers 2
A shard waits (`sleep`) and records itself in the ledger, as every real one does: the wait stands for the work, so that
the figure holds the orchestration alone. The plain loop is one process a worker, each over its share, in two halves
before and after the flow. The flow's time counts from the call to the return, with the start of the Dask cluster; the
Prefect server stands already, as in production.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bars import machine, record_bar

from dao_core.artifacts import Ledger, StageRecord, content_key
from tests.server.services import Server, running


def work(number: int, seconds: float, root: str) -> StageRecord:
    """One shard: a ledger stage that takes `seconds`."""

    def wait(directory: Path) -> dict[str, dict[str, int]]:
        time.sleep(seconds)
        (directory / "rows").write_text(str(number))
        return {"counts": {"n_asked": 1, "n_ok": 1, "n_failed": 0}}

    return Ledger(root).run("shard", content_key(number=number), wait)


def loop(numbers: list[int], seconds: float, root: str) -> None:
    for number in numbers:
        work(number, seconds, root)


def plain(numbers: list[int], seconds: float, root: str, workers: int) -> float:
    """Seconds of plain loops in `workers` processes."""
    begin = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=loop, args=(numbers[i::workers], seconds, root)) for i in range(workers)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    return time.perf_counter() - begin


def flow_seconds(shards: int, seconds: float, root: str, workers: int) -> tuple[float, int]:
    """Seconds of the flow, and the shards that it recorded."""
    from tasks.config import Workers
    from tasks.prefect_api import flow, task
    from tasks.run_log import RunLog

    shard = task(name="shard")(work)

    @flow(name="overhead")
    def overhead() -> int:
        engine = Workers(engine="dask", workers=workers)
        with RunLog(root, name="overhead", command="", workers=engine).watch() as run:
            records = run.step_each("wait", shard, range(shards), seconds, root)
            run.finish("completed")
        return len({r.key for r in records})

    begin = time.perf_counter()
    n = overhead()
    return time.perf_counter() - begin, n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    half = args.shards // 2
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        server = Server(Path(folder))
        with running(server):
            os.environ["PREFECT_API_URL"] = server.url
            before = plain(list(range(half)), args.seconds, f"{folder}/plain", args.workers)
            flow, n = flow_seconds(args.shards, args.seconds, f"{folder}/flow", args.workers)
            after = plain(list(range(half, args.shards)), args.seconds, f"{folder}/plain", args.workers)
    share = 100 * (flow / (before + after) - 1)
    value = round(share, 2)
    parts = {"flow_s": round(flow, 1), "plain_s": [round(before, 1), round(after, 1)]}
    print(json.dumps({"figure": value, "unit": "%", "n": n, "seed": None, **parts, "machine": machine()}))
    if args.shards < 1000:
        return  # a trial
    record_bar(
        issue="orchestration",
        row=1,
        what=f"overhead of a flow of {args.shards} waiting shards of {args.seconds:g} s on Dask over plain loops, "
        f"{args.workers} workers each, %",
        value=value,
        bar=5,
        met=n == args.shards and value <= 5,
        n=n,
        **parts,
        interval="one run, the loop in two halves around the flow",
        command=f"python benchmarks/orchestration_overhead.py --shards {args.shards} --seconds {args.seconds:g}",
        seed=None,
        machine=machine(),
    )


if __name__ == "__main__":
    main()
