"""DAO-G's corrections, each switched off alone, on equal CPU time; and against CSPNet with diffusion.

python benchmarks/generator_ablation.py --out runs/generator-ablation --seconds 1800 --n 300 --arms full,"raw gram"
Every arm trains from scratch on the MP-20 training split for the same CPU seconds (its own resume state: the same
command goes on) and draws --k de novo samples for the same public test compositions. Arms: full, no distances, raw
gram, no modulation, no average, no pair network, published form (all off), cspnet diffusion. The validation loss, with
equal noise for all arms, tells small differences apart. Prints one JSON line last.
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
from train_mp20 import read_split

from dao_core.artifacts import write_atomic
from dao_core.crystal import Crystal, CrystalBatch
from dao_core.evaluate.scorecard import scorecard
from dao_core.generate.flow_matching import Seeds, flow_loss, training_base
from dao_core.generate.integrate import SamplerSettings
from dao_core.generate.sampler import Generator, SampleStart, sample_seed
from dao_core.models.build import build_network, parse_model_config
from dao_core.models.checkpoint_io import CheckpointContent, load_checkpoint, save_checkpoint
from dao_core.models.heads import parameter_count
from dao_core.training.card import Provenance
from dao_core.training.checkpoint_plugin import SafetensorsIO
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_generator import GeneratorData, fit_generator
from dao_core.training.packed import PackedCrystals

OFF = {"distances": False, "normalized_gram": False, "modulation": False, "pair_width": 0}
CSPNET = {"kind": "cspnet", "width": 232, "n_blocks": 6, "n_frequencies": 16, "time_dim": 64}
ARMS: dict[str, dict[str, Any]] = {
    "full": {},
    "no distances": {"model": {"distances": False}},
    "raw gram": {"model": {"normalized_gram": False}},
    "no modulation": {"model": {"modulation": False}},
    "no pair network": {"model": {"pair_width": 0}},
    "no average": {},  # the training of `full`, whose path the average doesn't touch, with the last step's weights
    "published form": {"model": OFF, "ema_decay": 0.0},
    "cspnet diffusion": {"network": CSPNET, "process": "diffusion"},
}


def arm_config(settings: dict[str, Any], arm: str, args: argparse.Namespace) -> TrainingConfig:
    """The laptop settings with one thing changed, on the CPU clock."""
    change = ARMS[arm]
    model = change.get("network") or {**settings["model"], **change.get("model", {})}
    rest = {k: v for k, v in change.items() if k in ("ema_decay", "process")}
    timed = {"max_seconds": args.seconds, "clock": "cpu", "seed": args.seed, "flow": {"seeded_share": 0.0}}
    return TrainingConfig.model_validate({**settings, "model": model, **rest, **timed})


def samples(
    folder: Path,
    targets: list[tuple[str, Crystal]],
    args: argparse.Namespace,
    settings: SamplerSettings | None = None,
) -> list[list[Crystal | None]]:
    """k de novo samples of each target; kept, so that a repeated command only scores."""
    path = folder / f"samples-{args.n}-{args.k}.json"
    if not path.exists():
        generator = Generator.load(folder / "checkpoint", settings)
        starts = [
            SampleStart(np.sort(c.atomic_numbers), sample_seed(args.seed, c.composition, i))
            for _, c in targets for i in range(args.k)
        ]  # fmt: skip
        drawn = [p.crystal for p in generator.sample(starts)]
        write_atomic(path, json.dumps([_arrays(c) for c in drawn]))
    rows = [
        None if r is None else Crystal(np.array(r[0]), np.array(r[1]), np.array(r[2]))
        for r in json.loads(path.read_text())
    ]
    return [rows[i : i + args.k] for i in range(0, len(rows), args.k)]


def _arrays(c: Crystal | None) -> list[Any] | None:
    return None if c is None else [c.lattice.tolist(), c.frac_coords.tolist(), c.atomic_numbers.tolist()]


def validation_loss(folder: Path, args: argparse.Namespace, n: int = 1000) -> dict[str, Any]:
    """Mean flow-matching loss of n validation structures, and how much it is above that of `full`, 95 % intervals.

    The same noise and times for every arm: differences are far more certain than the losses themselves.
    """
    losses, full = (validation_losses(f, args, n) for f in (folder, args.out / arm_folder("full", args)))
    if losses is None:
        return {}
    out = {"mean": round(float(losses.mean()), 4), "half_interval": half_interval(losses)}
    if full is not None:
        out |= {"above_full": round(float((losses - full).mean()), 4), "its_interval": half_interval(losses - full)}
    return out


def half_interval(values: np.ndarray) -> float:
    return round(1.96 * float(values.std()) / len(values) ** 0.5, 4)


def arm_folder(arm: str, args: argparse.Namespace) -> str:
    return f"{arm.replace(' ', '-')}-{args.seconds:.0f}-{args.seed}"


def validation_losses(folder: Path, args: argparse.Namespace, n: int) -> np.ndarray | None:
    """The loss of each structure (n,), kept in `folder`; None for a diffusion, or where nothing was trained."""
    path = folder / f"validation-{n}.npy"
    if path.exists() or not (folder / "checkpoint").exists():
        return np.load(path) if path.exists() else None
    generator, seed, data = Generator.load(folder / "checkpoint"), args.seed, args.data
    if generator.process != "flow":
        return None
    crystals = [c.niggli() for c in read_split(data / "mp_20/val.parquet")[1]]
    rng = np.random.default_rng(seed)
    chosen = [crystals[i] for i in rng.permutation(len(crystals))]
    known = [c for c in chosen if set(c.atomic_numbers.tolist()) <= generator.elements][:n]
    noise, losses = torch.Generator().manual_seed(seed), []
    with torch.no_grad():
        for crystal in known:
            batch = CrystalBatch.from_crystals([crystal] * 4)  # four points of its path
            none = torch.zeros(4, dtype=torch.bool)
            start = training_base(batch, Seeds(none, none), generator.path, noise)
            losses.append(float(flow_loss(generator.network, start, batch, generator.path, noise)["loss"]))
    np.save(path, losses)
    return np.array(losses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--config", type=Path, default=Path("configs/train-laptop.yaml"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--seconds", type=float, default=1800.0, help="CPU seconds of each arm's training")
    parser.add_argument("--n", "--limit", type=int, default=300)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    settings = yaml.safe_load(args.config.read_text())
    cache = args.out / "packed.npz"
    if not cache.exists():
        crystals = read_split(args.data / "mp_20/train.parquet")[1]
        PackedCrystals.from_crystals([c.niggli() for c in crystals]).save(cache)
    data = PackedCrystals.load(cache)
    targets = list(zip(*read_split(args.data / "mp_20/test_public.parquet"), strict=True))
    targets = [targets[i] for i in np.random.default_rng(0).permutation(len(targets))[: args.n]]
    figure: dict[str, Any] = {}
    for arm in args.arms.split(","):
        figure[arm] = run_arm(arm, data, targets, settings, args)
        print(arm, json.dumps(figure[arm]), flush=True)
    line = {"figure": figure, "n": len(targets), "seed": args.seed, "machine": f"{platform.machine()}, 1 thread"}
    if args.record:
        record_bar(**bar(line, args))
    print(json.dumps(line))


def last_weights(trained: Path, folder: Path) -> None:
    """A checkpoint of the weights after the last step of a training, in place of their average."""
    state = SafetensorsIO().load_checkpoint(trained / "last")["state_dict"]
    weights = {k.removeprefix("network."): w for k, w in state.items() if k.startswith("network.")}
    config = load_checkpoint(trained / "checkpoint").config
    extra = {k: v for k, v in config.items() if k not in ("format", "kind", "sha256", "model")}
    card = "# Ablation: no average"
    save_checkpoint(folder / "checkpoint", weights, CheckpointContent("generator", config["model"], extra, card))


def run_arm(
    arm: str,
    data: PackedCrystals,
    targets: list[tuple[str, Crystal]],
    settings: dict[str, Any],
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Train (or go on), sample, score."""
    config = arm_config(settings, arm, args)
    folder = args.out / arm_folder(arm, args)
    facts_path = folder / "facts.json"
    if arm == "no average":
        facts_path = args.out / arm_folder("full", args) / "facts.json"
        if not facts_path.exists():
            raise SystemExit("no average needs the arm full to be trained first: --arms full,...")
        last_weights(facts_path.parent, folder)
    elif not facts_path.exists():
        about = {"name": "mp_20/train", "rows": len(data), "arm": arm}
        facts = fit_generator(GeneratorData(data), config, folder, Provenance(about, f"# Ablation: {arm}"))
        write_atomic(facts_path, json.dumps(facts))
    facts = json.loads(facts_path.read_text())
    predicted = samples(folder, targets, args)
    card = scorecard(predicted=predicted, reference=[c for _, c in targets], ks=tuple({1, args.k}))[0]
    return {
        "match_rate": {a.k: round(a.match_rate, 2) for a in card.unfiltered},
        "interval": {a.k: [round(x, 1) for x in a.match_interval] for a in card.unfiltered},
        "rmse": {a.k: a.rmse for a in card.unfiltered},
        "n_failed": card.n_failed,
        "misses": card.misses,
        "parameters": parameter_count(build_network(parse_model_config(config.model.model_dump()))),
        "validation_loss": validation_loss(folder, args),
        "steps": facts["steps"],
        "structures": facts["structures"],
        "seconds": facts["seconds"],
    }


def bar(line: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    figure, k = line["figure"], args.k
    full, other = (figure.get(a, {}).get("match_rate", {}).get(k) for a in ("full", "cspnet diffusion"))
    ratio = round(full / other, 2) if full and other else None
    return {
        "issue": "generator", "row": 4 if ratio else 9,
        "what": f"de novo match rate at k = {k}, %, each arm trained for {args.seconds:.0f} CPU s",
        "value": {a: {x: f[x] for x in ("match_rate", "validation_loss")} for a, f in figure.items()},
        "ratio_to_cspnet": ratio,
        "bar": "1.5 x cspnet diffusion at 2 CPU hours each" if ratio else "an ablation; no number given",
        "met": bool(ratio and ratio >= 1.5 and args.seconds >= 7200), "n": line["n"],
        "interval": {a: f["interval"] for a, f in figure.items()}, "details": line, "seed": args.seed,
        "command": f"python benchmarks/generator_ablation.py --seconds {args.seconds:.0f} --n {args.n} --k {args.k}",
    }  # fmt: skip


if __name__ == "__main__":
    main()
