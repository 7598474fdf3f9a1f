"""What dataset relaxation is worth to the generator: stable only, stage 1, stage 1 + 2, equal training, three seeds.

python benchmarks/stage_two.py --table runs/real/table --out runs/stage-two --seconds 1200 --n 300 --seeds 0,1,2
Rows are those of a CrysDB table (crysdb_real.py builds one) that leak into no benchmark, with an energy above the hull
of their own functional, of at most 20 atoms. Stable means at most 0.08 eV/atom. Every arm trains for the same CPU
seconds: on the stable rows; on all rows; on all rows for --share of the time, then on the stable rows with those above
0.08 (to 0.5) as DAO-P relaxed them. Samples are de novo, for compositions of the public MP-20 test half. Relaxed
shards, weights and samples are kept: the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from bars import record_bar
from generator_ablation import samples
from train_mp20 import read_split
from train_predictor import crystal_of

from dao_core.crysdb.table import CrysTable
from dao_core.crysdb.views import select_view
from dao_core.crystal import Crystal
from dao_core.energy.predictor import DaoPotential
from dao_core.energy.relaxation.relax import RelaxSettings, relax
from dao_core.evaluate.scorecard import scorecard
from dao_core.evaluate.statistics import bootstrap_mean
from dao_core.training.card import Provenance
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_generator import GeneratorData, fit_generator
from dao_core.training.packed import PackedCrystals

STABLE, HIGHEST = 0.08, 0.5  # eV/atom
SHARD = 200


def known_rows(table: Path, cache: Path, limit: int) -> PackedCrystals:
    """Structures with their energy above hull, Niggli cells of at most 20 atoms."""
    if not cache.exists():
        columns = ("material_id", "lattice", "frac_coords", "atomic_numbers", "n_atoms", "e_above_hull", "relaxation",
                   "duplicate_of", "is_stable", "leaks_into")  # fmt: skip
        frame = select_view(CrysTable(table).read(columns=columns), "leak_free").to_pandas()
        frame = frame[frame.e_above_hull.notna() & (frame.n_atoms <= 20) & (frame.e_above_hull <= HIGHEST)]
        crystals, hull = [], []
        for row in frame.sample(min(limit or len(frame), len(frame)), random_state=0).itertuples():
            crystal = crystal_of(row)
            if crystal is not None:
                crystals.append(crystal)
                hull.append(float(row.e_above_hull))
        PackedCrystals.from_crystals(crystals, e_above_hull=hull).save(cache)
    return PackedCrystals.load(cache)


def relaxed_rows(rows: PackedCrystals, potential: DaoPotential, folder: Path, steps: int) -> list[Crystal]:
    """DAO-P's relaxed form of the rows between STABLE and HIGHEST, kept in shards; rejected ones are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    hull = rows.labels["e_above_hull"]
    chosen = np.flatnonzero((hull > STABLE) & (hull <= HIGHEST))
    out: list[Crystal] = []
    for begin in range(0, len(chosen), SHARD):
        path = folder / f"shard-{begin:06d}.npz"
        if not path.exists():
            part = [rows.crystal(int(i)) for i in chosen[begin : begin + SHARD]]
            results = relax(part, potential, RelaxSettings(max_steps=steps, fmax=0.1, batch_size=32))
            kept = [r.crystal.niggli() for r in results if r.status in ("converged", "max_steps")]
            if not kept:
                continue
            PackedCrystals.from_crystals(kept).save(path)
            print(f"relaxed {begin + len(part)} of {len(chosen)}, {len(kept)} kept", flush=True)
        shard = PackedCrystals.load(path)
        out += [shard.crystal(i) for i in range(len(shard))]
    return out


def train(
    rows: PackedCrystals, folder: Path, seconds: float, args: argparse.Namespace, seed: int, start: Path | None = None
) -> Path:
    """Train for CPU seconds unless it is done; the checkpoint's folder."""
    if not (folder / "checkpoint" / "config.json").exists():
        settings = yaml.safe_load(args.config.read_text())
        timed = {"max_seconds": seconds, "clock": "cpu", "seed": seed, "flow": {"seeded_share": 0.0}}
        # a second stage of minutes must not end inside its warm-up
        rate = {} if start is None else {"learning_rate": 0.3 * settings["learning_rate"], "warmup_steps": 10}
        begin = {} if start is None else {"start_from": str(start)}
        config = TrainingConfig.model_validate({**settings, **timed, **rate, **begin})
        provenance = Provenance({"rows": len(rows)}, "# Stage two study")
        fit_generator(GeneratorData(rows), config, folder, provenance)
    return folder / "checkpoint"


def arms(rows: PackedCrystals, relaxed: list[Crystal], args: argparse.Namespace, seed: int) -> dict[str, Path]:
    """The trained folder of each arm."""
    stable = rows.take(np.flatnonzero(rows.labels["e_above_hull"] <= STABLE))
    larger = PackedCrystals.from_crystals([stable.crystal(i) for i in range(len(stable))] + relaxed)
    root = args.out / f"seed-{seed}-{args.seconds:.0f}"
    train(stable, root / "stable-only", args.seconds, args, seed)
    train(rows, root / "stage-1", args.seconds, args, seed)
    first = train(rows, root / "stage-1-short", args.share * args.seconds, args, seed)
    train(larger, root / "stage-1-2", (1 - args.share) * args.seconds, args, seed, first)
    return {"stable only": root / "stable-only", "stage 1": root / "stage-1", "stage 1 + 2": root / "stage-1-2"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--table", type=Path, required=True, help="a CrysDB table")
    parser.add_argument("--config", type=Path, default=Path("configs/train-laptop.yaml"))
    parser.add_argument("--predictor", default="predictor")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=1200.0, help="CPU seconds of each arm and seed")
    parser.add_argument("--share", type=float, default=0.6, help="of the time for stage 1 of the two-stage arm")
    parser.add_argument("--steps", type=int, default=30, help="relaxation steps")
    parser.add_argument("--rows", type=int, default=0, help="rows looked at; 0: all")
    parser.add_argument("--n", "--limit", type=int, default=300)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    rows = known_rows(args.table, args.out / f"rows-{args.rows}.npz", args.rows)
    relaxed = relaxed_rows(rows, DaoPotential.load(args.predictor), args.out / f"relaxed-{args.rows}", args.steps)
    targets = list(zip(*read_split(args.data / "mp_20/test_public.parquet"), strict=True))
    targets = [targets[i] for i in np.random.default_rng(0).permutation(len(targets))[: args.n]]
    hits: dict[str, list[np.ndarray]] = {}
    for seed in (int(s) for s in args.seeds.split(",")):
        args.seed = seed
        for arm, folder in arms(rows, relaxed, args, seed).items():
            card = scorecard(
                predicted=samples(folder, targets, args), reference=[c for _, c in targets], ks=(1, args.k)
            )[0]
            hits.setdefault(arm, []).append(np.array([a.match_rate for a in card.unfiltered]))
            print(arm, seed, hits[arm][-1], flush=True)
    figure: dict[str, Any] = {
        arm: {"mean": np.mean(v, axis=0).round(2).tolist(), "each_seed": np.array(v).round(2).tolist(),
              "interval_k": [round(x, 2) for x in bootstrap_mean(values=np.array(v)[:, -1])]}
        for arm, v in hits.items()
    }  # fmt: skip
    line = {"figure": figure, "n": len(targets), "seed": args.seeds, "rows": len(rows), "relaxed": len(relaxed),
            "machine": platform.machine()}  # fmt: skip
    if args.record:
        entry = {
            "issue": "energy", "row": 11,
            "what": f"de novo match rate at k = 1, {args.k}, mean over seeds, %, {args.seconds:.0f} CPU s each",
            "value": {a: f["mean"] for a, f in figure.items()},
            "bar": "an effect; no number given", "met": None, "n": len(targets), "interval": "in details",
            "details": line,
            "command": f"python benchmarks/stage_two.py --table TABLE --seconds {args.seconds:.0f} --n {args.n}",
            "seed": args.seeds,
        }  # fmt: skip
        record_bar(**entry)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
