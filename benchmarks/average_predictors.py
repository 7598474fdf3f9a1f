"""The mean of two DAO-P checkpoints' weights, the second of which continued the first: steadier than either.

python benchmarks/average_predictors.py --first predictor --second runs/predictor/checkpoint --out runs/mean
Scale, domain and the rest are the second's, its error model doesn't fit the mean: fit_error_model.py makes one anew,
and strain_stability.py and the other benchmarks of DAO-P say whether the mean is the better one. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import torch

from dao_core.models.checkpoint_io import CheckpointContent, load_checkpoint, read_checkpoint, save_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", default="predictor", help="folder, or the one that ships")
    parser.add_argument("--second", required=True)
    parser.add_argument("--share", type=float, default=0.5, help="weight of the second")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    _, first, start = read_checkpoint(args.first, kind="predictor")
    folder, second, end = read_checkpoint(args.second, kind="predictor")
    if (
        first["model"] != second["model"]
        or first["energy_scale"]["residual_std"] != second["energy_scale"]["residual_std"]
    ):
        raise SystemExit("the two differ in their networks or energy scales: their mean means nothing")
    mean = {name: torch.lerp(start[name], w, args.share) if w.is_floating_point() else w for name, w in end.items()}
    left = {"format", "kind", "sha256", "model", "error_model"}
    extra = {k: v for k, v in second.items() if k not in left}
    parts = {"mean_of": {"first": first["sha256"], "second": second["sha256"], "share_of_second": args.share}}
    content = CheckpointContent("predictor", second["model"], extra | parts, (folder / "card.md").read_text())
    save_checkpoint(args.out, mean, content)
    identity = load_checkpoint(args.out, kind="predictor").identity
    print(json.dumps({"figure": identity, "n": 2, "seed": None, "machine": platform.machine()}))


if __name__ == "__main__":
    main()
