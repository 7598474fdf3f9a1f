"""The first of 20 candidates against any of them, and what relaxation does to de novo samples.

python benchmarks/ranking.py --pools runs/pools --split test_public --record
Pools come from pools.py; they are ranked as every search ranks them (screening/ranking.py). The first is a hit if its
structure as relaxed matches the reference (StructureMatcher 0.3, 0.5, 10); any-of-20 counts candidates before and
after relaxation alike. Prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from bars import record_bar

from dao_core.crystal import Crystal
from dao_core.evaluate.statistics import bootstrap_mean, wilson
from dao_core.generate.sampler import DE_NOVO
from dao_core.screening.candidate import Candidate
from dao_core.screening.ranking import rank, with_probability

KEPT = ("converged", "max_steps")
Pool = list[dict[str, Any]]


def read_pools(folder: Path) -> tuple[list[Pool], dict[str, str], int]:
    """Pools in rank order, the models that made them, and the number of compositions asked for."""
    by_target: dict[str, Pool] = defaultdict(list)
    models: dict[str, str] = {}
    n_asked = 0
    for path in sorted(folder.glob("shard-*.parquet")):
        table = pq.read_table(path)
        models = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items() if k != b"ARROW:schema"}
        n_asked += int(path.stem.split("-")[2])
        for row in table.to_pylist():
            by_target[row["target"]].append(row)
    return [sorted(p, key=lambda r: r["rank"]) for p in by_target.values()], models, n_asked


def ranked(pool: Pool, *, prior: bool = True) -> list[Candidate]:
    """The pool's candidates in the order in which a search shows them; ids are their places in the pool."""
    found = []
    for i, row in enumerate(pool):
        crystal = Crystal(
            np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3)), row["atomic_numbers"]
        )
        found.append(
            Candidate(str(i), "one", crystal, row["origin"], energy_per_atom=row["energy_end"],
                      relaxation_status=row["status"], log_prior=row["log_prior"] if prior else None)
        )  # fmt: skip
    return rank(with_probability(found))


def hits(pool: Pool, *, after: bool = True) -> list[bool]:
    return [r["rms_after" if after else "rms_before"] is not None for r in pool]


def share(found: list[bool], n: int) -> dict[str, Any]:
    low, high = wilson(n_hit=sum(found), n=n)
    return {"rate": round(100 * sum(found) / n, 2), "interval": [round(100 * low, 1), round(100 * high, 1)], "n": n}


def picks(pools: list[Pool], n: int) -> dict[str, Any]:
    """Match rate of each way of picking one candidate, in percent of all compositions asked for."""
    orders = [ranked(p) for p in pools]
    first = [hits(p)[int(o[0].id)] for p, o in zip(pools, orders, strict=True)]
    energy = [hits(p)[int(ranked(p, prior=False)[0].id)] for p in pools]
    prior = [hits(p, after=False)[int(np.argmax([r["log_prior"] for r in p]))] for p in pools]
    three = [any(hits(p)[int(c.id)] for c in o[:3]) for p, o in zip(pools, orders, strict=True)]
    either = [any(hits(p)) or any(hits(p, after=False)) for p in pools]
    ratio = np.array([first, either], dtype=float)
    draws = np.random.default_rng(0).integers(0, len(pools), (2000, len(pools)))
    spread = ratio[0][draws].sum(1) / np.maximum(ratio[1][draws].sum(1), 1)
    return {
        "first": share(first, n),
        "first three": share(three, n),
        "energy alone": share(energy, n),
        "prior alone, unrelaxed": share(prior, n),
        "any, before or after": share(either, n),
        "any, after": share([any(hits(p)) for p in pools], n),
        "first / any": round(100 * float(ratio[0].sum() / max(ratio[1].sum(), 1)), 2),
        "first / any interval": [round(100 * float(x), 1) for x in np.percentile(spread, [2.5, 97.5])],
        "probability of the first, right": calibration([o[0].probability or 0.0 for o in orders], first),
    }


def calibration(probability: list[float], right: list[bool]) -> list[list[float]]:
    """Mean probability and share right in fifths by probability."""
    parts = np.array_split(np.argsort(probability), 5)
    return [[round(float(np.mean(np.array(v, float)[p])), 3) for v in (probability, right)] for p in parts]


def coverage(pools: list[Pool], n: int) -> dict[str, float]:
    """Share of compositions that one of the first t templates or d de novo samples matches, percent, by "t+d"."""
    found = []
    for pool in pools:
        either = [a or b for a, b in zip(hits(pool), hits(pool, after=False), strict=True)]
        kinds = [r["origin"] == DE_NOVO for r in pool]
        found.append([[h for h, k in zip(either, kinds, strict=True) if k == kind] for kind in (False, True)])
    return {
        f"{t}+{d}": round(100 * sum(any(a[:t]) or any(b[:d]) for a, b in found) / n, 1)
        for t in (0, 2, 4, 8, 12, 16)
        for d in (0, 4, 8, 12, 16, 20, 24, 32)
    }


def relaxation_effect(pools: list[Pool]) -> dict[str, Any]:
    """Match rate of single de novo samples before and after relaxation, their paired difference by composition."""
    rows = [[r for r in p if r["origin"] == DE_NOVO] for p in pools]
    rows = [r for r in rows if r]
    before = np.array([np.mean(hits(r, after=False)) for r in rows])
    after = np.array([np.mean(hits(r)) for r in rows])
    flat = [r for p in rows for r in p]
    both = [
        (r["rms_before"], r["rms_after"]) for r in flat if r["rms_before"] is not None and r["rms_after"] is not None
    ]
    any_of = {side: round(100 * float(np.mean([any(hits(r, after=side == "after")) for r in rows])), 2)
              for side in ("before", "after")}  # fmt: skip
    status: dict[str, int] = defaultdict(int)
    for r in flat:
        status[r["status"]] += 1
    return {
        "n_compositions": len(rows),
        "n_samples": len(flat),
        "before": round(100 * float(before.mean()), 2),
        "after": round(100 * float(after.mean()), 2),
        "difference": round(100 * float((after - before).mean()), 2),
        "difference_interval": [round(100 * x, 2) for x in bootstrap_mean(values=after - before)],
        "any_of_samples": any_of,
        "rmse_of_matched_before_after": np.round(np.mean(both, axis=0), 4).tolist() if both else None,
        "gained": sum(r["rms_before"] is None and r["rms_after"] is not None for r in flat),
        "lost": sum(r["rms_before"] is not None and r["rms_after"] is None for r in flat),
        "status": dict(status),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=Path, required=True)
    parser.add_argument("--split", default="test_public", choices=["val", "test_public"])
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    pools, models, n = read_pools(args.pools / args.split)
    found, effect = picks(pools, n), relaxation_effect(pools)
    figure = {
        "picks": found,
        "relaxation": effect,
        "coverage": coverage(pools, n),
        "models": models,
        "split": args.split,
    }
    line = {"figure": figure, "n": n, "seed": 0, "machine": platform.machine()}
    if args.record:
        record(line, len(pools))
    print(json.dumps(line))


def record(line: dict[str, Any], n_pools: int) -> None:
    found, effect, split = (line["figure"][k] for k in ("picks", "relaxation", "split"))
    where = "MP-20 public test" if split == "test_public" else "MP-20 validation"
    common = {"seed": 0, "models": line["figure"]["models"],
              "command": "python benchmarks/pools.py ...; python benchmarks/ranking.py --pools FOLDER"}  # fmt: skip
    pick = {
        "issue": "energy", "row": 5, "what": "match rate of the first of 20 candidates (templates and de novo, "
        f"compositions of {where}), in % of the any-of-20 rate",
        "value": found["first / any"], "bar": 90, "met": found["first / any"] >= 90, "n": line["n"],
        "n_failed": line["n"] - n_pools, "interval": found["first / any interval"], "details": found, **common,
    }  # fmt: skip
    gain = {
        "issue": "energy", "row": 6, "what": f"match rate of single de novo samples ({where}) before and after "
        "relaxation with DAO-P, % [before, after]", "value": [effect["before"], effect["after"]], "bar": "rises",
        "met": effect["difference_interval"][0] > 0, "n": effect["n_samples"],
        "interval": f"difference {effect['difference']} ({effect['difference_interval']}), by composition",
        "details": effect, **common,
    }  # fmt: skip
    for entry in (pick, gain):
        record_bar(**entry)


if __name__ == "__main__":
    main()
