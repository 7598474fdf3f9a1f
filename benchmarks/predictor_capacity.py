"""Which form of DAO-P learns most in a given time: validation error against CPU hours, each form from scratch.

python benchmarks/predictor_capacity.py --packed runs/predictor --labels runs/labels --out runs/capacity
`--packed` is a folder of train_predictor.py with packed.npz and validation.npz, `--labels` one of label_structures.py.
All forms see the same rows in the same order; the rate stays constant and the averaged weights are measured, so one run
gives all times up to its end. Killed or stopped, the same command goes on, and longer `--hours` continue what is there;
a form at a time with `--forms`. Energies: MP-20's validation split (2,000 structures, no formula of it is trained on
except those that MP-20 shares between its splits); forces: the held tenth of the DFT frames. Times are CPU seconds of
this one-threaded process. Prints one JSON line last.
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
from mp_scale import MpScale
from predictor_ablation import error_figure, force_figure
from train_predictor import SOURCES, judged_rows, with_forces

from dao_core.energy.objective import EnergyObjective
from dao_core.energy.predictor import N_ENERGIES, DaoPotential
from dao_core.energy.scale import EnergyRows, EnergyScale
from dao_core.models.build import build_network
from dao_core.models.checkpoint_io import Checkpoint
from dao_core.models.lattice_base import LatticeBase
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_predictor import element_fractions
from dao_core.training.job import TrainingJob
from dao_core.training.packed import PackedCrystals
from dao_core.training.trainer import run_training

FORMS: dict[str, dict[str, Any]] = {
    "shipped": {},
    "wider and deeper": {"width": 128, "n_blocks": 4, "tensor_width": 48},
    "without tensors": {"tensor_width": 0},
    "without references and repulsion": {"references": False, "repulsion": False},
}
RATE = 5e-4


class Curve:
    """Rows, scale and settings that all forms share."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        dft = PackedCrystals.load(args.packed / "packed.npz")
        judged = judged_rows(args.labels, MpScale.fit(args.data))
        self.data = PackedCrystals.concatenate([dft, with_forces(dft), *judged])
        self.validation = PackedCrystals.load(args.packed / "validation.npz")
        columns = {k: v.astype(np.float64) for k, v in self.data.labels.items()}
        self.scale = EnergyScale.fit(
            EnergyRows(element_fractions(self.data), columns["formation_energy_per_atom"],
                       columns["source"].astype(int), columns["e_above_hull"], SOURCES)
        )  # fmt: skip
        self.base = LatticeBase.fit([self.data.crystal(i) for i in range(0, len(self.data), 7)])
        self.settings = yaml.safe_load(args.config.read_text())

    def train(self, form: str, seconds: float) -> tuple[DaoPotential, dict[str, Any]]:
        """One form up to `seconds` of CPU time, from where it was."""
        model = self.settings["model"] | FORMS[form]
        fixed = {"model": model, "learning_rate": RATE, "final_learning_rate": RATE, "clock": "cpu",
                 "max_seconds": seconds, "seed": self.args.seed}  # fmt: skip
        config = TrainingConfig.model_validate(self.settings | fixed)
        torch.manual_seed(self.args.seed)
        network = build_network(config.model.model_copy(update={"n_energies": N_ENERGIES}))
        folder = self.args.out / f"{form.replace(' ', '-')}-{self.args.seed}"
        objective = EnergyObjective(config.energy, self.scale, self.base)
        facts = run_training(TrainingJob(network, objective, self.data, folder), config)
        network.eval()
        extra = {"energy_scale": self.scale.state(), "elements": list(range(1, 101)), "sha256": form}
        return DaoPotential(Checkpoint(network, "predictor", extra, folder)), facts

    def measure(self, potential: DaoPotential) -> dict[str, Any]:
        """Errors of formation energies on validation rows and of forces on held frames."""
        rows = self.validation
        found = potential.predict([rows.crystal(i) for i in range(len(rows))])
        predicted = np.array([p.formation_energy_per_atom for p in found])
        return {
            "formation": error_figure(predicted, rows.labels["formation_energy_per_atom"].astype(float)),
            "forces": force_figure(potential, self.args.data, 0),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--packed", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path("configs/train-predictor-laptop.yaml"))
    parser.add_argument("--hours", type=float, nargs="+", default=[0.25, 0.5], help="CPU hours at which to measure")
    parser.add_argument("--forms", nargs="+", choices=list(FORMS), default=list(FORMS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    curve = Curve(args)
    figure: dict[str, Any] = {}
    for form in args.forms:
        for hours in sorted(args.hours):
            potential, facts = curve.train(form, 3600 * hours)
            kept = {k: facts[k] for k in ("steps", "structures", "seconds")}
            figure.setdefault(form, {})[f"{hours:g} h"] = {
                **curve.measure(potential), **kept, "parameters": sum(w.numel() for w in potential.network.parameters())
            }  # fmt: skip
            print(form, hours, json.dumps(figure[form][f"{hours:g} h"]), flush=True)
    line = {"figure": figure, "n": len(curve.validation), "rows": len(curve.data), "seed": args.seed,
            "machine": f"{platform.machine()}, 1 thread"}  # fmt: skip
    if args.record:
        record_bar(
            issue="predictor", row="capacity", what="validation error of formation energies and forces against CPU "
            "hours, forms from scratch on the same rows", value=figure, bar="reported", met=None, n=line["n"],
            interval=None, seed=args.seed, details={"rows": line["rows"]},
            command=f"python benchmarks/predictor_capacity.py --hours {' '.join(map(str, args.hours))}",
        )  # fmt: skip
    print(json.dumps(line))


if __name__ == "__main__":
    main()
