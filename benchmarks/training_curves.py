"""Plot the losses of training runs from their history.jsonl files.

python benchmarks/training_curves.py --out docs/images/first_light_curves.png NAME=runs/x/history.jsonl ...
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("runs", nargs="+", help="NAME=history.jsonl")
    args = parser.parse_args()
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    shown = {"coords", "lattice", "energy_mae_eV", "force_mae_eV_A", "hull"}
    figure, axes = plt.subplots(1, len(args.runs), figsize=(4.2 * len(args.runs), 3.2), squeeze=False)
    for axis, run in zip(axes[0], args.runs, strict=True):
        name, path = run.split("=", 1)
        rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
        for loss in sorted(shown & {key for row in rows for key in row}):
            points = [(row["elapsed_s"] / 60, row[loss]) for row in rows if loss in row]
            axis.plot(*zip(*points, strict=True), label=loss, linewidth=1)
        axis.set(title=name, xlabel="minutes of training, one core", yscale="log")
        axis.legend(fontsize=7, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=110)
    print(json.dumps({"figure": str(args.out), "n": len(args.runs), "seed": None, "machine": None}))


if __name__ == "__main__":
    main()
