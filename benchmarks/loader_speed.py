"""Structures per second from the table to padded training batches, after caching.

python benchmarks/loader_speed.py --table /tmp/crysdb/bench/build-100000/table
Packs the table once (timed apart), then draws whole epochs through the training loader (`SizedBatches`).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from bars import machine, record_bar

from dao_core.crysdb.export import pack
from dao_core.crysdb.table import CrysTable
from dao_core.crysdb.views import select_view
from dao_core.training.packed import PackedCrystals, SizedBatches


def epoch_rate(data: PackedCrystals, batch_size: int, seed: int) -> tuple[float, float]:
    """Structures per second of wall time and of CPU time over one epoch."""
    batches = SizedBatches(data, batch_size=batch_size, seed=seed)
    n_batches = len(batches.epoch(0))
    wall, cpu = time.perf_counter(), time.process_time()
    rows = 0
    for _, batch in zip(range(n_batches), batches, strict=False):
        rows += len(batch.crystals)
    return rows / (time.perf_counter() - wall), rows / (time.process_time() - cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("/tmp/crysdb/packed.npz"))
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    begin = time.process_time()
    rows = pack((select_view(part, "leak_free") for part in CrysTable(args.table).batches()), args.cache)
    packing = time.process_time() - begin
    data = PackedCrystals.load(args.cache)
    rates = sorted(epoch_rate(data, args.batch_size, seed) for seed in range(args.repeats))
    wall, cpu = rates[len(rates) // 2]
    line = {
        "figure": round(wall),
        "unit": "structures/s",
        "n": rows,
        "seed": 0,
        "per_cpu_second": round(cpu),
        "packing_rows_per_cpu_second": round(rows / packing),
        "machine": machine(),
    }
    record_bar(
        issue="crysdb",
        row=6,
        what="training loader from the table after caching, structures/s: wall, CPU time",
        value=[round(wall), round(cpu)],
        bar=20_000,
        met=wall >= 20_000,
        n=rows,
        interval=f"median of {args.repeats} epochs, {round(rates[0][0])} to {round(rates[-1][0])}; {machine()}",
        command=f"python benchmarks/loader_speed.py --table TABLE --batch-size {args.batch_size}",
        seed=0,
    )
    print(json.dumps(line))


if __name__ == "__main__":
    main()
