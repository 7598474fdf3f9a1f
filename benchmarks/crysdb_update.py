"""Incremental update of 1 % of the rows against the full build, CPU time and wall time, in one run.

python benchmarks/crysdb_update.py --rows 100000 --data ../shared/data --work /tmp/crysdb/bench
Builds as `crysdb_build.py` does, then gives the update 1 % of the prototypes with other cells and energies.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bars import cpu_seconds, machine, record_bar
from crysdb_build import config_for, timed_build, write_rows

from dao_core.crysdb.build.changes import Reading
from dao_core.crysdb.build.update import update
from dao_core.crysdb.sources.files import FileSource
from dao_core.crysdb.sources.mapping import MappingOptions


def write_delta(rows: pa.Table, percent: float, path: Path, seed: int) -> int:
    """Some rows, each with a cell strained by 1 % and another energy."""
    rng = np.random.default_rng(seed)
    count = int(rows.num_rows * percent / 100)
    picked = rows.take(pa.array(np.sort(rng.choice(rows.num_rows, count, replace=False)))).to_pylist()
    for row in picked:
        row["lattice"] = (np.array(row["lattice"]) * (1 + rng.normal(0, 0.01))).tolist()
        if len(set(row["atomic_numbers"])) > 1:
            row["formation_energy_per_atom"] += float(rng.normal(0, 0.05))
    pq.write_table(pa.Table.from_pylist(picked, schema=rows.schema), path)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--percent", type=float, default=1.0)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("/tmp/crysdb/bench"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    folder, root = args.work / f"rows-{args.rows}", args.work / f"update-{args.rows}"
    write_rows(folder, args.rows, args.data, args.seed)
    shutil.rmtree(root, ignore_errors=True)
    config = config_for(folder, args.data, args.workers, 10_000)
    _, wall, cpu = timed_build(config, root)
    changed = write_delta(pq.read_table(folder / "prototypes.parquet"), args.percent, root / "delta.parquet", args.seed)
    source = FileSource(root / "delta.parquet", MappingOptions(name="prototypes", functional="made-up"))
    begin, used = time.perf_counter(), cpu_seconds()
    report = update(config, root, sources=[source], reading=Reading(partial=True), log=print)
    update_wall, update_cpu = time.perf_counter() - begin, cpu_seconds() - used
    share = 100 * update_cpu / cpu
    line = {
        "figure": round(share, 2),
        "unit": "% of the full build's CPU time",
        "n": args.rows,
        "changed": changed,
        "seed": args.seed,
        "build": {"wall_s": round(wall, 1), "cpu_s": round(cpu, 1)},
        "update": {"wall_s": round(update_wall, 1), "cpu_s": round(update_cpu, 1)},
        "report": {k: v for k, v in asdict(report).items() if k != "sources"},
        "machine": machine(),
    }
    record_bar(
        issue="crysdb",
        row=5,
        what=f"incremental update of {args.percent:g} %: % of the full build's time (CPU, wall)",
        value=[round(share, 2), round(100 * update_wall / wall, 2)],
        bar=5,
        met=share <= 5 and update_wall / wall <= 0.05,
        n=args.rows,
        interval=f"build {cpu:.0f} CPU s, update {update_cpu:.1f} CPU s, {report.n_written} rows written; {machine()}",
        command=f"python benchmarks/crysdb_update.py --rows {args.rows} --percent {args.percent:g}",
        seed=args.seed,
    )
    print(json.dumps(line))


if __name__ == "__main__":
    main()
