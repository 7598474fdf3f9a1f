"""Pairs compared per second, ours with two processes against serial pymatgen, and whether all values agree.

python benchmarks/matching_speed.py --data ../shared/data --pairs 1000
The pairs are what a k-shot benchmark sees: for each reference several substituted templates of its own formula. Both
sides run in turn in one process; two processes need two free cores to show their worth.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from bars import record_bar

from dao_core.crystal import Crystal
from dao_core.matching.fingerprint import slots_of
from dao_core.matching.pairs import MatchEffort, match_pairs

SHOTS = 20


def make_pairs(data: Path, n: int) -> list[tuple[Crystal, Crystal]]:
    """(prediction, reference): up to SHOTS random structures of the same anonymous formula with its elements."""
    rng = np.random.default_rng(0)
    columns = ["lattice", "atomic_numbers", "frac_coords"]
    groups: dict[tuple[int, ...], list[Crystal]] = {}
    for row in pq.read_table(data / "mp_20" / "val.parquet", columns=columns).to_pylist():
        lattice = np.array(row["lattice"]).reshape(3, 3)
        crystal = Crystal(lattice, np.array(row["frac_coords"]).reshape(-1, 3), np.array(row["atomic_numbers"]))
        counts = tuple(int(c) for c in slots_of(crystal.atomic_numbers).counts)
        groups.setdefault(counts, []).append(crystal)
    crystals = [c for group in groups.values() for c in group if len(group) > SHOTS]
    pairs: list[tuple[Crystal, Crystal]] = []
    while len(pairs) < n:
        reference = crystals[rng.integers(len(crystals))]
        slots = slots_of(reference.atomic_numbers)
        others = groups[tuple(int(c) for c in slots.counts)]
        for i in rng.choice(len(others), SHOTS, replace=False):
            labels = slots_of(others[i].atomic_numbers).labels
            frac = others[i].frac_coords + rng.normal(0, 0.01, (others[i].n_atoms, 3))
            pairs.append((others[i].replace(frac_coords=frac, atomic_numbers=slots.elements[labels]), reference))
    return pairs[:n]


def main() -> None:
    """Measure, compare, record."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    pairs = make_pairs(args.data, args.pairs)
    predicted, reference = [a for a, _ in pairs], [b for _, b in pairs]
    matcher = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)
    start, cpu = time.perf_counter(), time.process_time()
    theirs = [matcher.get_rms_dist(a.to_pymatgen(), b.to_pymatgen()) for a, b in pairs]
    serial_s, serial_cpu = time.perf_counter() - start, time.process_time() - cpu
    start, cpu = time.perf_counter(), time.process_time()
    alone = match_pairs(predicted=predicted, reference=reference)[0]
    alone_s, alone_cpu = time.perf_counter() - start, time.process_time() - cpu
    start = time.perf_counter()
    ours = match_pairs(predicted=predicted, reference=reference, effort=MatchEffort(args.processes))[0]
    pool_s = time.perf_counter() - start
    differ = sum((t is None) != (o.rms is None) for t, o in zip(theirs, ours, strict=True))
    gaps = [abs(t[0] - o.rms) for t, o in zip(theirs, ours, strict=True) if t is not None and o.rms is not None]
    line = {
        "issue": "generator",
        "row": 7,
        "what": f"matching throughput, {args.processes} processes against serial pymatgen (wall time), same values",
        "value": round(serial_s / pool_s, 2),
        "bar": 3.0,
        "met": serial_s / pool_s >= 3 and differ == 0 and ours == alone,
        "n": len(pairs),
        "n_matched": len(gaps),
        "decisions_that_differ": differ,
        "largest_difference": float(max(gaps, default=0.0)),
        "one_process_ratio": round(serial_s / alone_s, 2),
        "one_process_cpu_ratio": round(serial_cpu / alone_cpu, 2),
        "pymatgen_cpu_ms_per_pair": round(serial_cpu / len(pairs) * 1e3, 2),
        "ours_cpu_ms_per_pair": round(alone_cpu / len(pairs) * 1e3, 2),
        "interval": "one run, both sides in turn",
        "command": f"python benchmarks/matching_speed.py --pairs {len(pairs)}",
        "seed": 0,
        "machine": f"{platform.machine()}, 2 cores, busy",
    }
    record_bar(**line)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
