"""Time, CPU time and memory of a CrysDB build of N rows: real entries (13 %) and decorated AFLOW prototypes.

python benchmarks/crysdb_build.py --rows 1000000 --compare 100000 --data ../shared/data --work /tmp/crysdb/bench
Writes the rows first (not timed), builds, prints one JSON line. `--compare` builds a smaller set first, in the same
run; the mix is the same at every N, so times per row compare. Prototypes carry made-up formation energies
(electronegativity differences and noise): they load the hulls, they mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from crysdb_record import cpu_seconds, machine, peak_gib, record_bar

from dao_core.crysdb.build import BuildReport, build
from dao_core.crysdb.config import BuildConfig, FilesConfig
from dao_core.crysdb.hull import fractions
from dao_core.crysdb.leakage import SUPERCONDUCTOR_BENCHMARK, BenchmarkConfig
from dao_core.crysdb.sources.prototypes import iter_decorated, load_prototypes
from dao_core.elements import SYMBOLS

REAL = 0.13
ELEMENTS = [s for s in SYMBOLS[1:84] if s not in ("He", "Ne", "Ar", "Kr", "Xe", "Tc", "Pm")]
COLUMNS = ["material_id", "n_atoms", "lattice", "frac_coords", "atomic_numbers", "formation_energy_per_atom"]


def real_rows(data: Path, n: int, rng: np.random.Generator) -> pa.Table:
    """A random sample of MP and WBM rows."""
    tables = []
    for name in ("mp_structures.parquet", "wbm_val.parquet"):
        table = pq.read_table(data / name, columns=COLUMNS)
        tables.append(pa.table({c: table[c].cast(_TYPES[c]) for c in COLUMNS}))
    both = pa.concat_tables(tables)
    return both.take(pa.array(np.sort(rng.choice(both.num_rows, size=min(n, both.num_rows), replace=False))))


_TYPES = {
    "material_id": pa.string(),
    "n_atoms": pa.int64(),
    "lattice": pa.list_(pa.float64()),
    "frac_coords": pa.list_(pa.float64()),
    "atomic_numbers": pa.list_(pa.int16()),
    "formation_energy_per_atom": pa.float64(),
}


def decorated_rows(n: int, rng: np.random.Generator, start: int = 0) -> Iterator[dict[str, object]]:
    """Elements first (they close the hulls), then decorated prototypes, slightly strained."""
    from pymatgen.core import Element

    chi = {s: Element(s).X for s in ELEMENTS}
    for i, d in enumerate(iter_decorated(load_prototypes(), ELEMENTS, n, seed=int(rng.integers(2**31)), strain=0.01)):
        c = d.crystal
        numbers, counts = np.unique(c.atomic_numbers, return_counts=True)
        x = fractions(dict(zip(numbers.tolist(), counts.tolist(), strict=True)), numbers.tolist())
        values = np.array([chi[SYMBOLS[z]] for z in numbers])
        mean = float(x @ values)
        energy = -1.5 * float(x @ (values - mean) ** 2) + float(abs(rng.normal(0.0, 0.15)))
        yield {
            "material_id": f"proto-{start + i}",
            "n_atoms": c.n_atoms,
            "lattice": c.lattice.ravel().tolist(),
            "frac_coords": c.frac_coords.ravel().tolist(),
            "atomic_numbers": c.atomic_numbers.tolist(),
            "formation_energy_per_atom": 0.0 if len(numbers) == 1 else energy,
        }


def write_rows(folder: Path, rows: int, data: Path, seed: int) -> None:
    """real.parquet and prototypes.parquet with `rows` rows together."""
    done = folder / "done"
    if done.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    real = real_rows(data, int(rows * REAL), rng)
    pq.write_table(real, folder / "real.parquet", compression="zstd")
    schema = pa.schema(list(_TYPES.items()))
    with pq.ParquetWriter(folder / "prototypes.parquet", schema, compression="zstd") as writer:
        chunk: list[dict[str, object]] = []
        for row in decorated_rows(rows - real.num_rows, rng):
            chunk.append(row)
            if len(chunk) == 20_000:
                writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
                chunk = []
        writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
    done.touch()


def config_for(folder: Path, data: Path, workers: int, shard_rows: int) -> BuildConfig:
    def files(name: str, functional: str) -> FilesConfig:
        return FilesConfig(name=name, paths=(folder / f"{name}.parquet",), functional=functional)

    tests = BenchmarkConfig(name="mp_20", paths=(data / "mp_20" / "test_public.parquet",))
    return BuildConfig(
        sources=(files("real", "published"), files("prototypes", "made-up")),
        benchmarks=(tests, SUPERCONDUCTOR_BENCHMARK),
        clean={"min_atoms": 1},
        workers=workers,
        shard_rows=shard_rows,
    )


def timed_build(config: BuildConfig, root: Path) -> tuple[BuildReport, float, float]:
    wall, cpu = time.perf_counter(), cpu_seconds()
    report = build(config, root, log=lambda line: print(line, flush=True))
    return report, time.perf_counter() - wall, cpu_seconds() - cpu


def measure(rows: int, args: argparse.Namespace) -> dict[str, Any]:
    """One build of `rows` rows from nothing, and what it took."""
    folder, root = args.work / f"rows-{rows}", args.work / f"build-{rows}"
    write_rows(folder, rows, args.data, args.seed)
    shutil.rmtree(root, ignore_errors=True)
    report, wall, cpu = timed_build(config_for(folder, args.data, args.workers, args.shard_rows), root)
    kept = ("sources", "duplicates", "hull", "seconds", "views")
    line = {
        "figure": round(wall, 1),
        "unit": "s",
        "n": rows,
        "seed": args.seed,
        "cpu_seconds": round(cpu, 1),
        "wall_ms_per_row": round(1e3 * wall / rows, 3),
        "cpu_ms_per_row": round(1e3 * cpu / rows, 3),
        "peak_gib": round(peak_gib(), 2),
        "workers": args.workers,
        "machine": machine(),
        "adds_up": report.adds_up,
        "report": {k: v for k, v in asdict(report).items() if k in kept},
    }
    (root / "benchmark.json").write_text(json.dumps(line, indent=1))
    print(json.dumps(line), flush=True)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--compare", type=int, help="build this many rows first, for the ratio of times per row")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("/tmp/crysdb/bench"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--shard-rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    small = measure(args.compare, args) if args.compare else None
    line = measure(args.rows, args)
    ratio = {k: round(line[k] / small[k], 2) for k in ("wall_ms_per_row", "cpu_ms_per_row")} if small else {}
    if args.rows >= 1_000_000 and small:
        minutes = round(line["figure"] / 60, 1), round(line["cpu_seconds"] / 60, 1)
        record_bar(
            issue="crysdb",
            row=4,
            what=f"1,000,000 rows: build in minutes of wall time, of CPU time, peak GiB; time per row over that at "
            f"{args.compare:,}: wall, CPU",
            value=[*minutes, line["peak_gib"], *ratio.values()],
            bar=[60, None, 8, 1.3, 1.3],
            met=minutes[0] <= 60 and line["peak_gib"] <= 8 and max(ratio.values()) <= 1.3 and line["adds_up"],
            n=args.rows,
            interval=f"one run of both, {args.workers} workers on {len(os.sched_getaffinity(0))} core(s); {machine()}",
            command=f"python benchmarks/crysdb_build.py --rows {args.rows} --compare {args.compare} "
            f"--workers {args.workers}",
            seed=args.seed,
        )
    print(json.dumps({**line, "ratio": ratio}))


if __name__ == "__main__":
    main()
