"""Match rate of DAO-G on a benchmark's public test half: de novo, seeded by templates, or templates alone.

python benchmarks/match_rate.py --test ../shared/data/mp_20/test_public.parquet --mode denovo --n 1000 --k 20 --out
runs/mr
Modes: denovo; templates (as retrieved); seeded (each template refined by the generator); mixed (seeded, then de novo).
Samples are written in shards and a repeated command continues. Prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from train_mp20 import read_split

from dao_core.crystal import Crystal
from dao_core.evaluate.scorecard import scorecard
from dao_core.generate.integrate import SamplerSettings
from dao_core.generate.sampler import DE_NOVO, Generator, Proposal, SampleStart, sample_seed
from dao_core.generate.templates.aflow import aflow_index
from dao_core.generate.templates.index import TemplateIndex
from dao_core.generate.templates.store import load_index

SHARD = 100  # compositions a shard


def tasks_for(
    crystal: Crystal, name: str, args: argparse.Namespace, index: TemplateIndex | None
) -> tuple[list[SampleStart], list[Crystal]]:
    """What is sampled for one target, and the templates that are used as they are."""
    numbers = np.sort(crystal.atomic_numbers)
    cell = crystal.composition
    free = [SampleStart(numbers, sample_seed(args.seed, cell, i)) for i in range(args.k)]
    if args.mode == "denovo" or index is None:
        return free, []
    hits = index.query(cell, args.k, exclude_ids=(name,))
    if args.mode == "templates":
        return [], [h.crystal for h in hits]
    found = [
        SampleStart(h.crystal.atomic_numbers, sample_seed(args.seed, cell, i, h.template_id), h.crystal, h.template_id)
        for i, h in enumerate(hits)
    ]
    n_free = max(args.free, args.k - len(found))
    return found[: args.k - n_free] + free[:n_free], []


def run_shard(
    targets: list[tuple[str, Crystal]],
    args: argparse.Namespace,
    generator: Generator | None,
    index: TemplateIndex | None,
) -> pa.Table:
    """Predictions of some targets in rank order."""
    starts: list[SampleStart] = []
    owners: list[int] = []
    rows: list[dict[str, object]] = []
    for i, (name, crystal) in enumerate(targets):
        sampled, ready = tasks_for(crystal, name, args, index)
        starts += sampled
        owners += [i] * len(sampled)
        rows += [_row(name, k, c, "template") for k, c in enumerate(ready)]
    proposals: list[Proposal] = generator.sample(starts) if generator and starts else []
    ranks: dict[int, int] = {}
    for i, proposal in zip(owners, proposals, strict=True):
        rank = ranks[i] = ranks.get(i, -1) + 1
        rows.append(_row(targets[i][0], rank, proposal.crystal, proposal.origin))
    return pa.Table.from_pylist(rows)


def _row(name: str, rank: int, crystal: Crystal | None, origin: str) -> dict[str, object]:
    return {
        "target": name,
        "rank": rank,
        "origin": origin,
        "lattice": None if crystal is None else crystal.lattice.ravel().tolist(),
        "frac_coords": None if crystal is None else crystal.frac_coords.ravel().tolist(),
        "atomic_numbers": None if crystal is None else crystal.atomic_numbers.tolist(),
    }


def read_predictions(folder: Path, names: list[str], k: int) -> list[list[Crystal | None]]:
    """Predictions of each target in rank order, padded with None to k."""
    found: dict[str, dict[int, Crystal | None]] = {}
    for path in sorted(folder.glob("shard-*.parquet")):
        for row in pq.read_table(path).to_pylist():
            crystal = None
            if row["lattice"] is not None:
                crystal = Crystal(
                    np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3)), row["atomic_numbers"]
                )
            found.setdefault(row["target"], {})[row["rank"]] = crystal
    return [[found.get(name, {}).get(r) for r in range(k)] for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", type=Path, default=Path("../shared/data/mp_20/test_public.parquet"))
    parser.add_argument("--mode", choices=["denovo", "templates", "seeded", "mixed"], default="denovo")
    parser.add_argument("--checkpoint", default="generator")
    parser.add_argument("--index", type=Path, help="template index folder; default: AFLOW prototypes")
    parser.add_argument("--n", type=int, default=0, help="random targets; 0: all")
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--free", type=int, default=0, help="de novo samples among the k of mode mixed")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seeded-steps", type=int, default=10)
    parser.add_argument("--anti-annealing", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    names, crystals = read_split(args.test)
    if args.n:
        keep = np.sort(np.random.default_rng(0).permutation(len(names))[: args.n])
        names, crystals = [names[i] for i in keep], [crystals[i] for i in keep]
    settings = SamplerSettings(steps=args.steps, seeded_steps=args.seeded_steps, anti_annealing=args.anti_annealing)
    generator = Generator.load(args.checkpoint, settings) if args.mode != "templates" else None
    index = None
    if args.mode != "denovo":
        index = load_index(args.index) if args.index else aflow_index()
    args.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    sampled = 0
    for begin in range(0, len(names), SHARD):
        path = args.out / f"shard-{begin:06d}.parquet"
        if not path.exists():
            targets = list(zip(names, crystals, strict=True))[begin : begin + SHARD]
            pq.write_table(run_shard(targets, args, generator, index), path.with_suffix(".tmp"))
            path.with_suffix(".tmp").rename(path)
            sampled += len(targets)
            print(f"{begin + len(targets)}/{len(names)} targets, {time.perf_counter() - began:.0f} s", flush=True)
    sampling_s = time.perf_counter() - began
    predictions = read_predictions(args.out, names, args.k)
    ks = [k for k in (1, 5, 20) if k <= args.k]
    card, _, _, _ = scorecard(predicted=predictions, reference=crystals, ks=ks, processes=args.processes)
    figure = {"mode": args.mode, "sampling_s": round(sampling_s, 1), "sampled": sampled, **card.as_dict()}
    (args.out / "scorecard.json").write_text(json.dumps(figure, indent=1))
    print(
        json.dumps(
            {"figure": figure, "n": len(names), "seed": args.seed, "machine": platform.machine(), "origin": DE_NOVO}
        )
    )


if __name__ == "__main__":
    main()
