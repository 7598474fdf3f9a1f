"""Energy guidance: share of de novo samples that the judge puts within 0.08 eV/atom of the hull, guided against not.

python benchmarks/guidance.py --out runs/guidance --n 300 --scale 1.0 --record
python benchmarks/guidance.py --out runs/guidance --n 300 --scale 0 --draws 4 --record
For compositions of the public MP-20 test half with a published energy above hull. Both sides keep the same number of
samples, begin with the same seeds and are relaxed alike with DAO-P (`--steps`, 0: not at all); with `--draws K` the
guided side draws K for each and keeps the one that DAO-P puts lowest. The judge, SevenNet-l3i5
unless named otherwise, measures the energy of the sample and of the known structure: E_hull(sample) = E(sample) -
E(known) + the known structure's published energy above hull, so that the judge's error of the composition cancels.
The guide learned from that judge's labels of other structures; CHGNet (`--judge chgnet`) it never saw. A failed
sample is not stable. Shards of 20 compositions; the same command goes on. Prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from bars import record_bar
from train_predictor import crystal_of

from dao_core.artifacts import write_atomic
from dao_core.crystal import Crystal
from dao_core.energy.potential import Potential, PotentialResult
from dao_core.energy.predictor import DaoPotential
from dao_core.energy.registry import load_potential
from dao_core.energy.relaxation.relax import RelaxSettings, relax
from dao_core.evaluate.statistics import bootstrap_mean
from dao_core.generate.guidance import EnergyGuidance, GuidanceSettings, lowest_drawn
from dao_core.generate.integrate import SamplerSettings
from dao_core.generate.sampler import Generator, SampleStart, sample_seed

SHARD = 20
STABLE = 0.08  # eV/atom
Target = tuple[str, Crystal, float]


def targets_of(data: Path, n: int, max_atoms: int) -> list[Target]:
    """Random compositions of the test half: id, Niggli cell, published energy above hull."""
    table = pd.read_parquet(data / "mp_20/test_public.parquet")
    table = table[table.e_above_hull.notna() & (table.n_atoms <= max_atoms)]
    order = np.random.default_rng(0).permutation(len(table))
    found = []
    for row in table.iloc[order].itertuples():
        crystal = crystal_of(row)
        if crystal is not None:
            found.append((str(row.material_id), crystal, float(row.e_above_hull)))
        if len(found) == n:
            break
    return found


def energies(judge: Potential, crystals: list[Crystal | None]) -> list[float | None]:
    """The judge's energy per atom, None where there is no structure or no answer."""
    present = [c for c in crystals if c is not None]
    answers = iter(judge.compute(present))
    out: list[float | None] = []
    for crystal in crystals:
        outcome = None if crystal is None else next(answers)
        known = isinstance(outcome, PotentialResult) and crystal is not None
        out.append(outcome.energy / crystal.n_atoms if known else None)  # type: ignore[union-attr]
    return out


def run_shard(
    part: list[Target], args: argparse.Namespace, generator: Generator, potential: DaoPotential, judge: Potential
) -> list[dict[str, Any]]:
    known = energies(judge, [c for _, c, _ in part])
    rows = [{"target": name, "hull": hull, "known": e} for (name, _, hull), e in zip(part, known, strict=True)]
    for side in ("plain", "guided"):
        raw = drawn(part, args, generator, potential if side == "guided" else None)
        ready = _relaxed(raw, potential, args.steps) if args.steps else raw
        found = energies(judge, ready)
        for i, row in enumerate(rows):
            row[side] = found[i * args.samples : (i + 1) * args.samples]
    return rows


def drawn(
    part: list[Target], args: argparse.Namespace, generator: Generator, guide: DaoPotential | None
) -> list[Crystal | None]:
    """`--samples` structures of each target, None where one failed; with a guide they are steered or chosen."""
    settings = GuidanceSettings(scale=args.scale, window=tuple(args.window), every=args.every, draws=args.draws)
    n = args.samples * (1 if guide is None else args.draws)
    starts = [
        SampleStart(np.sort(c.atomic_numbers), sample_seed(args.seed, c.composition, i))
        for _, c, _ in part for i in range(n)
    ]  # fmt: skip
    steers = guide is not None and args.scale > 0
    made = generator.sample(starts, EnergyGuidance(guide.network, generator.base, settings) if steers else None)
    rows = [made[i : i + n] for i in range(0, len(made), n)]
    if guide is not None and args.draws > 1:
        rows = [lowest_drawn(row, args.samples, guide.cautious_energies) for row in rows]
    return [p.crystal for row in rows for p in row]


def _relaxed(raw: list[Crystal | None], potential: DaoPotential, steps: int) -> list[Crystal | None]:
    present = [c for c in raw if c is not None]
    done = iter(relax(present, potential, RelaxSettings(max_steps=steps, fmax=0.05, batch_size=32)))
    return [None if c is None else next(done).crystal for c in raw]


def figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares in percent, their paired difference by composition, medians of the energy above hull."""
    usable = [r for r in rows if r["known"] is not None]
    out: dict[str, Any] = {"n_compositions": len(usable), "n_failed_references": len(rows) - len(usable)}
    shares: dict[str, np.ndarray] = {}
    for side in ("plain", "guided"):
        above = [[None if e is None else e - r["known"] + r["hull"] for e in r[side]] for r in usable]
        shares[side] = np.array([np.mean([a is not None and a <= STABLE for a in row]) for row in above])
        flat = [a for row in above for a in row]
        out[side] = {
            "share": round(100 * float(shares[side].mean()), 2),
            "interval": [round(100 * x, 2) for x in bootstrap_mean(values=shares[side])],
            "median_above_hull": round(float(np.median([a for a in flat if a is not None])), 4),
            "n_samples": len(flat),
            "n_failed": sum(a is None for a in flat),
        }
    difference = shares["guided"] - shares["plain"]
    out["difference"] = round(100 * float(difference.mean()), 2)
    out["difference_interval"] = [round(100 * x, 2) for x in bootstrap_mean(values=difference)]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--generator", default="generator")
    parser.add_argument("--predictor", default="predictor")
    parser.add_argument("--judge", default="sevennet")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", "--limit", type=int, default=300)
    parser.add_argument("--max-atoms", type=int, default=20)
    parser.add_argument("--samples", type=int, default=1, help="of each composition and side")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--window", type=float, nargs=2, default=(0.3, 0.95))
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--draws", type=int, default=1, help="samples that the guided side draws for each it keeps")
    parser.add_argument("--flow-steps", type=int, default=50)
    parser.add_argument("--steps", type=int, default=30, help="relaxation steps with DAO-P")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    targets = targets_of(args.data, args.n, args.max_atoms)
    generator = Generator.load(args.generator, SamplerSettings(steps=args.flow_steps))
    targets = [t for t in targets if set(t[1].atomic_numbers.tolist()) <= generator.elements]
    potential, judge = DaoPotential.load(args.predictor), load_potential(args.judge)
    kept = f"-draws-{args.draws}" if args.draws > 1 else ""
    folder = args.out / f"{args.judge}-scale-{args.scale:g}-steps-{args.steps}{kept}"
    folder.mkdir(parents=True, exist_ok=True)
    began, rows = time.process_time(), []
    for begin in range(0, len(targets), SHARD):
        part = targets[begin : begin + SHARD]
        path = folder / f"shard-{begin:05d}-{len(part)}.json"
        if not path.exists():
            write_atomic(path, json.dumps(run_shard(part, args, generator, potential, judge)))
            print(f"{begin + len(part)}/{len(targets)}, {time.process_time() - began:.0f} CPU s", flush=True)
        rows += json.loads(path.read_text())
    figure = {**figures(rows), "scale": args.scale, "draws": args.draws, "relaxation_steps": args.steps, "models": {
        "generator": generator.identity, "guide": potential.identity, "judge": judge.identity}}  # fmt: skip
    line = {"figure": figure, "n": len(rows), "seed": args.seed, "machine": platform.machine()}
    if args.record:
        record(line, args)
    print(json.dumps(line))


def how(args: argparse.Namespace) -> str:
    """What the guided side does, in words."""
    if args.draws == 1:
        return f"with scale {args.scale:g}"
    pulled = f"drawn with scale {args.scale:g}, " if args.scale else ""
    return f"by a choice: {pulled}the one of {args.draws} draws that DAO-P puts lowest"


def record(line: dict[str, Any], args: argparse.Namespace) -> None:
    figure = line["figure"]
    entry = {
        "issue": "predictor", "row": 9, "what": f"de novo samples within 0.08 eV/atom of the hull by {args.judge}, % "
        f"[not guided, guided {how(args)}], relaxed alike with DAO-P ({args.steps} steps)",
        "value": [figure["plain"]["share"], figure["guided"]["share"]], "bar": "rises, interval excludes 0",
        "met": figure["difference_interval"][0] > 0, "n": line["n"], "n_failed": figure["n_failed_references"],
        "interval": f"difference {figure['difference']} ({figure['difference_interval']}), by composition",
        "details": figure,
        "command": f"python benchmarks/guidance.py --n {args.n} --scale {args.scale:g} --draws {args.draws} "
        f"--steps {args.steps} --record",
        "seed": args.seed,
    }  # fmt: skip
    record_bar(**entry)


if __name__ == "__main__":
    main()
