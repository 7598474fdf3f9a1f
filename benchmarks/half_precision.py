"""Halve a checkpoint's size: its weights in half precision, and how far that moves what the generator draws.

python benchmarks/half_precision.py --model generator --out runs/half
Networks are built in single precision and take the rounded weights, so nothing else changes. Both checkpoints draw
from the same noise; reported are displacements and changes of volume between their structures, at the median, 90 % and
largest. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dao_core.generate.integrate import SamplerSettings
from dao_core.generate.sampler import Generator, SampleStart
from dao_core.models.checkpoint_io import CheckpointContent, read_checkpoint, save_checkpoint

DRAWN = [[11, 17], [14, 14], [22] * 2 + [8] * 4, [38, 22, 8, 8, 8], [12] * 2 + [13] * 4 + [8] * 8]
PUBLISHED = {"format", "kind", "sha256", "model"}  # written by save_checkpoint itself


def rounded(model: str, out: Path) -> Path:
    """The same checkpoint with its weights in half precision."""
    folder, config, weights = read_checkpoint(model, kind="generator")
    extra = {k: v for k, v in config.items() if k not in PUBLISHED}
    extra["rounded_from"] = config["sha256"]
    half = {name: w.half() if w.is_floating_point() else w for name, w in weights.items()}
    content = CheckpointContent("generator", config["model"], extra, (folder / "card.md").read_text())
    return save_checkpoint(out, half, content)


def moved(first: Generator, second: Generator, n: int, seed: int) -> dict[str, Any]:
    """Displacement of the farthest atom in angstrom and relative change of volume: median, 90 %, largest.

    Compared are the structures that both draw from the same noise.
    """
    far, volume = [], []
    for numbers in DRAWN:
        starts = [SampleStart(np.array(numbers), seed + i) for i in range(n)]
        for a, b in zip(first.sample(starts), second.sample(starts), strict=True):
            if a.crystal is None or b.crystal is None:
                continue
            away = a.crystal.frac_coords - b.crystal.frac_coords
            away -= away.round()
            far.append(float(np.linalg.norm(away @ a.crystal.lattice, axis=1).max()))
            volume.append(abs(a.crystal.volume / b.crystal.volume - 1))
    return {"displacement": [round(float(np.quantile(far, q)), 4) for q in (0.5, 0.9, 1.0)],
            "volume": [round(float(np.quantile(volume, q)), 4) for q in (0.5, 0.9, 1.0)], "n": len(far)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="generator", help="folder, or the one that ships")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=8, help="structures of each of five compositions")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = rounded(args.model, args.out)
    settings = SamplerSettings(steps=50)
    figure = moved(Generator.load(args.model, settings), Generator.load(path, settings), args.n, args.seed)
    print(json.dumps({"figure": figure, "n": figure["n"], "seed": args.seed, "machine": platform.machine()}))


if __name__ == "__main__":
    main()
