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
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ase.data import covalent_radii
from bars import cpu_seconds, machine, peak_gib, record_bar

from dao_core.crysdb.build.build import BuildReport, build
from dao_core.crysdb.config import BuildConfig, FilesConfig
from dao_core.crysdb.sources.prototypes import (
    CONTACT,
    MIN_ATOM_VOLUME,
    Prototype,
    load_prototypes,
)
from dao_core.crysdb.steps.leakage import SUPERCONDUCTOR_BENCHMARK, BenchmarkConfig
from dao_core.elements import SYMBOLS, atomic_number
from dao_core.matching.distances import distance_matrix

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


def decorated_rows(n: int, rng: np.random.Generator) -> Iterator[pa.Table]:
    """About `n` different decorations of the AFLOW prototypes, slightly strained, one table a prototype and round.

    The same scaling by covalent radii as `Prototype.decorate`, for thousands of decorations at once.
    """
    prototypes = load_prototypes()
    choices = np.array([comb(len(ELEMENTS), p.n_elements) * len(p.distinct) for p in prototypes], dtype=float)
    shares = choices**0.5 / (choices**0.5).sum()  # neither all ternaries nor all unaries
    counts = np.minimum(rng.multinomial(n, shares), choices.astype(int))
    counts[np.argmax(choices)] += n - counts.sum()
    for number, (prototype, count) in enumerate(zip(prototypes, counts.tolist(), strict=True)):
        placed = _draw(prototype, count, rng)
        for begin in range(0, count, 20_000):
            yield _decorate(prototype, placed[begin : begin + 20_000], rng, f"proto-{number}-{begin}")


def _draw(prototype: Prototype, count: int, rng: np.random.Generator) -> np.ndarray:
    """Atomic numbers on the slots, (count, slots): elements of a row all different, and no row twice."""
    numbers = np.array([atomic_number(s) for s in ELEMENTS])
    size, distinct = prototype.n_elements, np.array(prototype.distinct)
    if 3 * count > comb(len(numbers), size) * len(distinct):  # a large part of all there are: list them all
        sets = np.array(list(combinations(range(len(numbers)), size)))
        found = numbers[sets[:, distinct].reshape(-1, size)]
    else:
        found = np.zeros((0, size), dtype=int)
        while len(found) < count:
            chosen = np.sort(np.argsort(rng.random((count, len(numbers))), axis=1)[:, :size], axis=1)
            orders = distinct[rng.integers(len(distinct), size=count)]
            found = np.unique(np.concatenate([found, numbers[np.take_along_axis(chosen, orders, axis=1)]]), axis=0)
    return found[rng.permutation(len(found))[:count]]


def _decorate(prototype: Prototype, placed: np.ndarray, rng: np.random.Generator, name: str) -> pa.Table:
    count, n = len(placed), prototype.n_atoms
    species = placed[:, prototype.slots]  # (count, N)
    radii = np.array(covalent_radii)[species]
    nearest = distance_matrix(prototype.lattice, prototype.frac_coords)
    shortest = (nearest / (radii[:, :, None] + radii[:, None, :])).min(axis=2).mean(axis=1)
    volume = abs(float(np.linalg.det(prototype.lattice))) / n
    scale = np.maximum(CONTACT / shortest, (MIN_ATOM_VOLUME / volume) ** (1 / 3))
    lattices = prototype.lattice * scale[:, None, None] @ (np.eye(3) + rng.normal(0.0, 0.01, (count, 3, 3)))
    chi = _electronegativities()[species]
    energy = -1.5 * chi.var(axis=1) + np.abs(rng.normal(0.0, 0.15, count))
    return pa.table(
        {
            "material_id": [f"{name}-{i}" for i in range(count)],
            "n_atoms": np.full(count, n),
            "lattice": _lists(lattices.reshape(count, 9)),
            "frac_coords": _lists(np.broadcast_to(prototype.frac_coords.ravel(), (count, 3 * n))),
            "atomic_numbers": _lists(species.astype(np.int16)),
            "formation_energy_per_atom": np.zeros(count) if placed.shape[1] == 1 else energy,
        }
    ).cast(pa.schema(list(_TYPES.items())))


def _lists(values: np.ndarray) -> pa.ListArray:
    rows, width = values.shape
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1) * width, type=pa.int32()), pa.array(values.ravel()))


@lru_cache(maxsize=1)
def _electronegativities() -> np.ndarray:
    from pymatgen.core import Element

    return np.array([0.0, *(Element(s).X if s in ELEMENTS else np.nan for s in SYMBOLS[1:])])


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
        for table in decorated_rows(rows - real.num_rows, rng):
            writer.write_table(table)
    done.touch()


def config_for(folder: Path, data: Path, workers: int, shard_rows: int) -> BuildConfig:
    def files(name: str, functional: str) -> FilesConfig:
        return FilesConfig(name=name, paths=(folder / f"{name}.parquet",), functional=functional)

    tests = BenchmarkConfig(name="mp_20", paths=(data / "mp_20" / "test_public.parquet",))
    return BuildConfig(
        sources=(files("real", "published"), files("prototypes", "made-up")),
        benchmarks=(tests, SUPERCONDUCTOR_BENCHMARK),
        clean={"min_atoms": 1},
        hull={"elements_at_zero": True},
        workers=workers,
        shard_rows=shard_rows,
    )


def timed_build(config: BuildConfig, root: Path) -> tuple[BuildReport, float, float]:
    wall, cpu = time.perf_counter(), cpu_seconds()
    report = build(config, root, log=lambda line: print(line, flush=True))
    return report, time.perf_counter() - wall, cpu_seconds() - cpu


def measure(rows: int, args: argparse.Namespace) -> dict[str, Any]:
    """One build of `rows` rows from nothing (with --resume: the earlier one, or the rest of it), and what it took."""
    folder, root = args.work / f"rows-{rows}", args.work / f"build-{rows}"
    done: Path = root / "benchmark.json"
    if args.resume and done.exists():
        return dict(json.loads(done.read_text()))
    write_rows(folder, rows, args.data, args.seed)
    spent = root / "spent.json"
    if not (args.resume and spent.exists()):
        shutil.rmtree(root, ignore_errors=True)
    earlier = json.loads(spent.read_text()) if spent.exists() else {"wall": 0.0, "cpu": 0.0, "pieces": 0}
    begin, used = time.perf_counter(), cpu_seconds()
    try:
        report, wall, cpu = timed_build(config_for(folder, args.data, args.workers, args.shard_rows), root)
    except KeyboardInterrupt:
        wall, cpu = time.perf_counter() - begin, cpu_seconds() - used
        pieces = {"wall": earlier["wall"] + wall, "cpu": earlier["cpu"] + cpu, "pieces": earlier["pieces"] + 1}
        spent.write_text(json.dumps(pieces))
        raise
    wall, cpu = wall + earlier["wall"], cpu + earlier["cpu"]
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
        "pieces": earlier["pieces"] + 1,
        "machine": machine(),
        "adds_up": report.adds_up,
        "report": {k: v for k, v in asdict(report).items() if k in kept},
    }
    done.write_text(json.dumps(line, indent=1))
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
    parser.add_argument("--resume", action="store_true", help="go on with a build that was stopped by SIGTERM")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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
