"""Mixed pools of candidates for benchmark compositions: templates and de novo samples, relaxed with DAO-P, matched.

python benchmarks/pools.py --split test_public --index runs/templates/index_mp_20 --out runs/pools --n 200
`ranking.py` reads the shards. A pool has --k candidates: up to k - --free templates (best first, from the training
split's index), de novo samples for the rest. Shards of 20 compositions; killed or stopped, the same command goes on.
Each candidate keeps its energies, its relaxed cell and the rms to the reference before and after.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from train_mp20 import read_split

from dao_core.crystal import Crystal
from dao_core.energy.predictor import DaoPotential
from dao_core.energy.relaxation.relax import RelaxationResult, RelaxSettings, relax
from dao_core.generate.integrate import SamplerSettings
from dao_core.generate.sampler import DE_NOVO, Generator, SampleStart, sample_seed
from dao_core.generate.templates.index import TemplateIndex
from dao_core.generate.templates.store import load_index
from dao_core.matching.pairs import match_pairs
from dao_core.screening.proposals import SMALLEST_SHARE

SHARD = 20
KEPT = ("converged", "max_steps")


def candidates(
    crystal: Crystal, name: str, args: argparse.Namespace, index: TemplateIndex, generator: Generator
) -> tuple[list[tuple[str, float, Crystal]], list[SampleStart]]:
    """Templates with their log-prior, and the de novo samples to draw for the rest of the pool."""
    hits = index.query(crystal.composition, args.k - args.free, exclude_ids=(name,))
    found = [(h.template_id, h.log_prior, h.crystal) for h in hits]
    if not set(crystal.atomic_numbers.tolist()) <= generator.elements:
        return found, []
    numbers, cell = np.sort(crystal.atomic_numbers), crystal.composition
    return found, [SampleStart(numbers, sample_seed(args.seed, cell, i)) for i in range(args.k - len(found))]


def run_shard(
    targets: list[tuple[str, Crystal]], args: argparse.Namespace, index: TemplateIndex, generator: Generator,
    potential: DaoPotential,
) -> pa.Table:  # fmt: skip
    rows: list[dict[str, Any]] = []
    raw: list[Crystal] = []
    starts: list[SampleStart] = []
    owners: list[tuple[str, int, float]] = []
    for name, crystal in targets:
        found, free = candidates(crystal, name, args, index, generator)
        for rank, (template, prior, structure) in enumerate(found):
            rows.append({"target": name, "rank": rank, "origin": template, "log_prior": prior})
            raw.append(structure)
        left = max(1.0 - sum(np.exp(p) for _, p, _ in found), SMALLEST_SHARE)  # as screening/proposing.py shares it
        owners += [(name, len(found) + i, float(np.log(left / len(free)))) for i in range(len(free))]
        starts += free
    failed = 0
    for (name, rank, prior), proposal in zip(owners, generator.sample(starts) if starts else [], strict=True):
        if proposal.crystal is None:
            failed += 1
            continue
        rows.append({"target": name, "rank": rank, "origin": DE_NOVO, "log_prior": prior})
        raw.append(proposal.crystal)
    reference = dict(targets)
    results = relax(raw, potential, RelaxSettings(max_steps=args.steps, fmax=0.05, batch_size=32))
    references = [reference[r["target"]] for r in rows]
    before = match_pairs(predicted=raw, reference=references)[0]
    after = match_pairs(predicted=[r.crystal for r in results], reference=references)[0]
    for row, result, a, b in zip(rows, results, before, after, strict=True):
        row |= _facts(result) | {"rms_before": a.rms, "rms_after": b.rms, "failed_samples": failed}
    return pa.Table.from_pylist(rows)


def _facts(result: RelaxationResult) -> dict[str, Any]:
    return {
        "status": str(result.status),
        "energy_start": result.initial_energy_per_atom,
        "energy_end": result.energy_per_atom,
        "volume_per_atom": result.crystal.volume / result.crystal.n_atoms,
        "steps": result.n_steps,
        "lattice": result.crystal.lattice.ravel().tolist(),
        "frac_coords": result.crystal.frac_coords.ravel().tolist(),
        "atomic_numbers": result.crystal.atomic_numbers.tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--split", default="test_public", choices=["val", "test_public"])
    parser.add_argument("--index", type=Path, required=True, help="template index of the training split")
    parser.add_argument("--generator", default="generator")
    parser.add_argument("--predictor", default="predictor")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", "--limit", type=int, default=200, help="random compositions; 0: all")
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--free", type=int, default=6, help="de novo samples at least")
    parser.add_argument("--flow-steps", type=int, default=50)
    parser.add_argument("--steps", type=int, default=30, help="most relaxation steps")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    names, crystals = read_split(args.data / f"mp_20/{args.split}.parquet")
    targets = list(zip(names, crystals, strict=True))
    order = np.random.default_rng(0).permutation(len(targets))  # shards of a smaller --n are a prefix of a larger one's
    targets = [targets[i] for i in order[: args.n or len(order)]]
    index, potential = load_index(args.index), DaoPotential.load(args.predictor)
    generator = Generator.load(args.generator, SamplerSettings(steps=args.flow_steps))
    folder = args.out / args.split
    folder.mkdir(parents=True, exist_ok=True)
    began = time.process_time()
    for begin in range(0, len(targets), SHARD):
        part = targets[begin : begin + SHARD]
        path = folder / f"shard-{begin:05d}-{len(part)}.parquet"
        if not path.exists():
            table = run_shard(part, args, index, generator, potential)
            models = {"predictor": potential.identity, "generator": generator.identity, "index": index.source}
            pq.write_table(table.replace_schema_metadata(models), path.with_suffix(".tmp"))
            path.with_suffix(".tmp").rename(path)
            print(f"{begin + len(part)}/{len(targets)}, {time.process_time() - began:.0f} CPU s", flush=True)
    figure = {"cpu_s": round(time.process_time() - began, 1), "folder": str(folder)}
    print(json.dumps({"figure": figure, "n": len(targets), "seed": args.seed, "machine": platform.machine()}))


if __name__ == "__main__":
    main()
