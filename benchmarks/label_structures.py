"""Label what DAO-P meets in use: disturbed crystals, raw proposals and what it relaxes them to, by CHGNet.

python benchmarks/label_structures.py --data ../shared/data --out runs/labels --kind templates --n 4000
Energies are put on MP-20's own scale by one correction an element, fitted on `--kind train` (run that first). Work is
kept in shards of 200 structures: killed or stopped, the same command goes on. `train_predictor.py --extra` trains on
the shards.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from train_predictor import SOURCES, Rows, crystal_of, formula_key, held_formulas

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.elements import MAX_ATOMIC_NUMBER
from dao_core.energy.adapters.chgnet import ChgnetPotential
from dao_core.energy.potential import PotentialResult
from dao_core.energy.predictor import DaoPotential
from dao_core.energy.relaxation.relax import RelaxSettings, relax
from dao_core.generate.sampler import DE_NOVO, Generator, Task, sample_seed
from dao_core.generate.templates.aflow import aflow_index
from dao_core.generate.templates.store import load_index
from dao_core.training.packed import PackedCrystals

SHARD = 200
MAX_FORCE = 30.0  # eV/angstrom: beyond it CHGNet is no judge
MAX_FORMATION = 6.0  # eV/atom


class Workshop:
    """Training structures and the models that disturb them."""

    def __init__(self, data: Path, predictor: str, index: Path) -> None:
        held = held_formulas(data)
        frame = pd.read_parquet(data / "mp_20/train.parquet")
        frame = frame[[formula_key(z) not in held for z in frame.atomic_numbers]]
        self.frame = frame[[len(z) <= 16 for z in frame.atomic_numbers]].reset_index(drop=True)
        self.predictor, self.index = predictor, index

    def crystals(self, rng: np.random.Generator) -> list[tuple[str, Crystal, float]]:
        """SHARD random (id, structure, formation energy in eV/atom)."""
        out: list[tuple[str, Crystal, float]] = []
        while len(out) < SHARD:
            row = self.frame.iloc[int(rng.integers(len(self.frame)))]
            crystal = crystal_of(row)
            if crystal is not None and np.isfinite(row.formation_energy_per_atom):
                out.append((str(row.material_id), crystal, float(row.formation_energy_per_atom)))
        return out

    def train(self, rng: np.random.Generator) -> list[Crystal]:
        return [c for _, c, _ in self.crystals(rng)]

    def rattled(self, rng: np.random.Generator) -> list[Crystal]:
        """Displaced by 0.02 to 0.4 angstrom, strained, swollen or squeezed."""
        out = []
        for _, crystal, _ in self.crystals(rng):
            size = np.exp(rng.uniform(np.log(0.02), np.log(0.4)))
            strain = rng.normal(scale=0.04, size=(3, 3)) + np.eye(3) * rng.uniform(-0.06, 0.08)
            lattice = crystal.lattice @ (np.eye(3) + 0.5 * (strain + strain.T))
            moved = crystal.frac_coords + rng.normal(scale=size, size=(crystal.n_atoms, 3)) @ np.linalg.inv(lattice)
            out += _built(lattice, moved, crystal.atomic_numbers)
        return out

    def templates(self, rng: np.random.Generator) -> list[Crystal]:
        """Other compositions' structures with these elements: MP-20's, own entry left out, and AFLOW's."""
        known, aflow = load_index(self.index), aflow_index()
        out = []
        for name, crystal, _ in self.crystals(rng):
            hits = known.query(crystal.composition, 12, (name,)) if rng.random() < 0.6 else []
            hits = hits or aflow.query(crystal.composition, 12) or known.query(crystal.composition, 12, (name,))
            if hits:
                found = hits[int(rng.integers(len(hits)))].crystal
                scale = np.exp(rng.normal(scale=0.03))
                out += _built(found.lattice * scale, found.frac_coords, found.atomic_numbers)
        return out

    def samples(self, rng: np.random.Generator) -> list[Crystal]:
        """De novo samples of training compositions."""
        generator = Generator.load()
        tasks = []
        for _, crystal, _ in self.crystals(rng):
            if crystal.n_atoms <= 12 and not generator.unseen(crystal):
                seed = sample_seed(int(rng.integers(1 << 30)), crystal.composition, 0)
                tasks.append(Task(np.sort(crystal.atomic_numbers), seed, None, DE_NOVO))
        return [p.crystal for p in generator.sample(tasks) if p.crystal is not None]

    def relaxed(self, rng: np.random.Generator) -> list[Crystal]:
        """Where DAO-P leads templates and samples, on the way and at the end: its own false minima."""
        starts = self.templates(rng) if rng.random() < 0.75 else self.samples(rng)
        steps = int(rng.choice([5, 15, 40]))
        potential = DaoPotential.load(self.predictor)
        settings = RelaxSettings(max_steps=steps, fmax=0.1, batch_size=32, max_energy_drop=50.0)
        return [r.crystal for r in relax(starts, potential, settings) if r.status in ("converged", "max_steps")]


def _built(lattice: np.ndarray, frac: np.ndarray, numbers: np.ndarray) -> list[Crystal]:
    try:
        return [Crystal(lattice, frac, numbers)]
    except InvalidCrystalError:
        return []


def fractions(crystals: list[Crystal]) -> np.ndarray:
    return np.stack([np.bincount(c.atomic_numbers, minlength=MAX_ATOMIC_NUMBER + 1) / c.n_atoms for c in crystals])


def element_scale(shop: Workshop, folder: Path, judge: ChgnetPotential, n: int, seed: int) -> np.ndarray:
    """Energy of each element, (101,) eV: CHGNet's energies of training crystals minus MP-20's formation energies."""
    path = folder / "elements.npy"
    if path.exists():
        return np.load(path)
    rng = np.random.default_rng([seed, 0])
    rows = [row for _ in range(n // SHARD) for row in shop.crystals(rng)]
    outcomes = judge.compute([c for _, c, _ in rows])
    good = [(c, e, o) for (_, c, e), o in zip(rows, outcomes, strict=True) if isinstance(o, PotentialResult)]
    x = fractions([c for c, _, _ in good])
    y = np.array([o.energy / c.n_atoms - e for c, e, o in good])
    scale = np.linalg.solve(x.T @ x + 1e-3 * np.eye(x.shape[1]), x.T @ y)
    left = y - x @ scale
    print(f"element scale from {len(good)}: left over MAE {np.abs(left).mean():.4f} eV/atom", flush=True)
    np.save(path, scale)
    return scale


def label(crystals: list[Crystal], judge: ChgnetPotential, scale: np.ndarray) -> Rows:
    rows = Rows()
    for crystal, outcome in zip(crystals, judge.compute(crystals), strict=True):
        if not isinstance(outcome, PotentialResult) or np.abs(outcome.forces).max() > MAX_FORCE:
            continue
        formation = outcome.energy / crystal.n_atoms - float(fractions([crystal])[0] @ scale)
        if abs(formation) < MAX_FORMATION:
            rows.add(crystal, formation_energy_per_atom=formation, source=SOURCES.index("sample_chgnet"),
                     forces=outcome.forces, stress=outcome.stress)  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--index", type=Path, required=True, help="template index of MP-20 train (benchmarks/templates.py)"
    )
    parser.add_argument("--kind", choices=["train", "rattled", "templates", "samples", "relaxed"], required=True)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--predictor", default="predictor")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    shop, judge = Workshop(args.data, args.predictor, args.index), ChgnetPotential()
    scale = element_scale(shop, args.out, judge, 3000, args.seed)
    make: Callable[[np.random.Generator], list[Crystal]] = getattr(shop, args.kind)
    kinds = ["train", "rattled", "templates", "samples", "relaxed"]
    for shard in range(-(-args.n // SHARD)):
        path = args.out / f"{args.kind}_{args.seed}_{shard:04d}.npz"
        if path.exists():
            continue
        torch.manual_seed(shard)
        rows = label(make(np.random.default_rng([args.seed, kinds.index(args.kind), shard])), judge, scale)
        rows.pack().save(path.with_suffix(".part.npz"))
        path.with_suffix(".part.npz").rename(path)
        print(f"{path.name}: {len(rows.crystals)} labelled", flush=True)
    potential = DaoPotential.load(args.predictor)
    parts = [
        PackedCrystals.load(p) for p in sorted(args.out.glob(f"{args.kind}_{args.seed}_[0-9][0-9][0-9][0-9].npz"))
    ][:10]
    packed = PackedCrystals.concatenate(parts)
    predicted = potential.predict([packed.crystal(i) for i in range(len(packed))])
    error = np.array([p.formation_energy_per_atom for p in predicted]) - packed.labels["formation_energy_per_atom"]
    figure = {"kind": args.kind, "mean_error": float(error.mean()), "median_error": float(np.median(error)),
              "mae": float(np.abs(error).mean())}  # fmt: skip
    print(json.dumps({"figure": figure, "n": len(packed), "seed": args.seed, "machine": platform.machine()}))


if __name__ == "__main__":
    main()
