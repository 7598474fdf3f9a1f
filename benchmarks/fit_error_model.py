"""Teach a trained DAO-P how far its energies are off, and calibrate that: the run behind the shipped error model.

python benchmarks/fit_error_model.py --data ../shared/data --out runs/predictor-errors --checkpoint predictor
Learns from MP-20's validation split, at rest (MP-20's own formation energies) and, for --disturbed of its structures,
displaced and strained: their label is the one at rest plus the judge's difference of energies. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from disturbed_crystals import disturbed
from numpy.typing import NDArray
from train_predictor import crystal_of

from dao_core.crystal import Crystal
from dao_core.energy.adapters.sevennet import SevenNetPotential
from dao_core.energy.potential import PotentialResult
from dao_core.models.checkpoint_io import CheckpointContent, load_checkpoint, resolve
from dao_core.training.calibration import calibrate_checkpoint

Labelled = tuple[list[Crystal], NDArray[np.float64]]
MAX_DISTURBED_ATOMS = 12  # the judge's time


def at_rest(path: Path) -> Labelled:
    """Structures of a split and their formation energies in eV/atom, where known."""
    table = pd.read_parquet(path)
    table = table[table.formation_energy_per_atom.notna()]
    pairs = [(crystal_of(row), float(row.formation_energy_per_atom)) for row in table.itertuples()]
    usable = [(c, e) for c, e in pairs if c is not None]
    return [c for c, _ in usable], np.array([e for _, e in usable])


def off_equilibrium(rest: Labelled, n: int, rng: np.random.Generator, judge: SevenNetPotential) -> Labelled:
    """`n` of the structures, displaced by 0.02 to 0.25 angstrom and strained by a few percent, with their energies."""
    small = [i for i, c in enumerate(rest[0]) if c.n_atoms <= MAX_DISTURBED_ATOMS]
    pairs: list[tuple[int, Crystal]] = []
    for i in rng.permutation(small)[:n]:
        strain = rng.normal(scale=0.03, size=(3, 3))
        pairs += [(int(i), c) for c in disturbed(rest[0][i], rng, np.exp(rng.uniform(*np.log((0.02, 0.25)))), strain)]
    outcomes = judge.compute([c for i, c in pairs] + [rest[0][i] for i, _ in pairs])
    crystals, labels = [], []
    for (i, crystal), moved, still in zip(pairs, outcomes, outcomes[len(pairs) :], strict=False):
        if isinstance(moved, PotentialResult) and isinstance(still, PotentialResult):
            crystals.append(crystal)
            labels.append(rest[1][i] + (moved.energy - still.energy) / crystal.n_atoms)
    return crystals, np.array(labels)


def joined(parts: Sequence[Labelled]) -> Labelled:
    """One list of crystals and their labels."""
    return [c for crystals, _ in parts for c in crystals], np.concatenate([labels for _, labels in parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--checkpoint", default="predictor")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint that is written")
    parser.add_argument("--disturbed", type=int, default=600)
    args = parser.parse_args()
    torch.set_num_threads(1)
    shutil.copytree(resolve(args.checkpoint), args.out, dirs_exist_ok=True)
    checkpoint = load_checkpoint(args.out, kind="predictor")
    known = {"format", "kind", "sha256", "model"}
    extra = {k: v for k, v in checkpoint.config.items() if k not in known}
    content = CheckpointContent("predictor", checkpoint.config["model"], extra, (args.out / "card.md").read_text())
    rest = at_rest(args.data / "mp_20/val.parquet")
    moved = off_equilibrium(rest, args.disturbed, np.random.default_rng(0), SevenNetPotential())
    crystals, labels = joined([rest, moved])
    mae = calibrate_checkpoint(args.out, content, crystals, labels)
    print(json.dumps({"figure": {"mae": mae, "calibration": content.extra["calibration"]}, "n": len(labels),
                      "n_disturbed": len(moved[1]), "seed": 0, "machine": platform.machine()}))  # fmt: skip


if __name__ == "__main__":
    main()
