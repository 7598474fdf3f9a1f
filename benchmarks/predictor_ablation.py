"""Ablations of DAO-P, each arm trained from scratch for the same CPU time on the same rows.

python benchmarks/predictor_ablation.py --study baseline --seconds 360 --packed runs/predictor --out runs/ablation
Studies: baseline (the laptop network against a CGCNN-size network, energies only), forces (with and without force and
stress labels, on rows most of which have them, beside CHGNet on the same frames), loss (exponential against plain MSE
on disturbed structures, and without undisturbed ones). `--packed` is a folder of train_predictor.py with its
packed.npz. Arms end in `--out` with their own resume state: the same command goes on. Times are CPU seconds of this
one-threaded process. Prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from bars import record_bar
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from train_predictor import SOURCES, crystal_of, dft_frames

from dao_core.crystal import Crystal
from dao_core.energy.adapters.chgnet import ChgnetPotential
from dao_core.energy.objective import EnergyObjective
from dao_core.energy.potential import Potential, PotentialResult
from dao_core.energy.predictor import N_ENERGIES, DaoPotential
from dao_core.energy.scale import EnergyRows, EnergyScale
from dao_core.evaluate.statistics import bootstrap_mean
from dao_core.models.build import build_network
from dao_core.models.checkpoint_io import Checkpoint
from dao_core.models.heads import parameter_count
from dao_core.models.lattice_base import LatticeBase
from dao_core.studies.properties.cgcnn import Cgcnn, Graphs, predict_all, predict_rows
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_predictor import element_fractions
from dao_core.training.job import TrainingJob
from dao_core.training.packed import Batch, PackedCrystals
from dao_core.training.trainer import run_training

STUDIES: dict[str, dict[str, dict[str, Any]]] = {
    "baseline": {"laptop": {"noisy_share": 0.0, "hull_weight": 0.0, "forces": False}, "cgcnn": {}},
    "forces": {
        "with": {"noisy_share": 0.0, "force_weight": 3.0},
        "without": {"noisy_share": 0.0, "forces": False},
    },
    "loss": {
        "exponential": {"noisy_share": 0.5, "forces": False},
        "mse": {"noisy_share": 0.5, "forces": False, "exponential": False},
        "not clean": {"clean": False, "forces": False},
    },
}


class Study:
    """Data, scale and settings that all arms of a study share."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        data = PackedCrystals.load(args.packed / "packed.npz")
        known = np.isfinite(data.labels["formation_energy_per_atom"])
        rows = force_rows(data, known) if args.study == "forces" else np.flatnonzero(known)
        if args.limit:
            rows = rows[np.random.default_rng(0).permutation(len(rows))[: args.limit]]
        self.data = data.take(rows)
        self.scale = EnergyScale.fit(
            EnergyRows(
                element_fractions(self.data),
                self.data.labels["formation_energy_per_atom"].astype(np.float64),
                self.data.labels["source"].astype(int),
                self.data.labels["e_above_hull"].astype(np.float64),
                SOURCES,
            )
        )
        self.base = LatticeBase.fit([self.data.crystal(i) for i in range(0, len(self.data), 7)])
        self.settings = yaml.safe_load(args.config.read_text())
        self.tests = test_rows(args.data, args.limit)

    def config(self, **changes: Any) -> TrainingConfig:
        timed = {"max_seconds": self.args.seconds, "clock": "cpu", "seed": self.args.seed}
        return TrainingConfig.model_validate({**self.settings, **timed, **changes})

    def train_ours(self, name: str, energy: dict[str, Any]) -> tuple[DaoPotential, dict[str, Any]]:
        config = self.config(energy=energy)
        torch.manual_seed(self.args.seed)
        model = config.model.model_copy(update={"n_energies": N_ENERGIES})
        network = build_network(model)
        objective = EnergyObjective(config.energy, self.scale, self.base)
        facts = run_training(TrainingJob(network, objective, self.data, self.folder(name)), config)
        extra = {"energy_scale": self.scale.state(), "elements": list(range(1, 101)), "sha256": name}
        network.eval()
        return DaoPotential(Checkpoint(network, "predictor", extra, self.folder(name))), {
            **facts, "parameters": parameter_count(build_network(model))
        }  # fmt: skip

    def folder(self, name: str) -> Path:
        path: Path = self.args.out / f"{self.args.study}-{self.args.seed}-{self.args.seconds:.0f}" / name
        return path

    def train_cgcnn(self, name: str) -> tuple[Callable[[], NDArray[np.float64]], dict[str, Any]]:
        config = self.config(learning_rate=self.args.cgcnn_rate, ema_decay=0.0, batch_size=128)
        torch.manual_seed(self.args.seed)
        network, graphs = Cgcnn(), Graphs.build(self.data)
        target = self._residual(self.data)

        def objective(net: nn.Module, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:  # noqa: ARG001
            energy = predict_rows(net, self.data, graphs, batch.rows.numpy())
            loss = F.huber_loss(energy, torch.from_numpy(target[batch.rows.numpy()]), delta=0.5)
            return {"loss": loss}

        network.train()
        facts = run_training(TrainingJob(network, objective, self.data, self.folder(name)), config)
        network.eval()

        def answer() -> NDArray[np.float64]:
            packed = PackedCrystals.from_crystals(
                [c for c, _, _ in self.tests], formation_energy_per_atom=[0.0] * len(self.tests),
                source=[0] * len(self.tests)
            )  # fmt: skip
            unit = predict_all(network, packed, Graphs.build(packed))
            return unit * self.scale.residual_std - self._residual(packed) * self.scale.residual_std

        return answer, {**facts, "parameters": parameter_count(network)}

    def _residual(self, data: PackedCrystals) -> NDArray[np.float32]:
        """Labels over the composition model, in the network's unit: the same target for both networks."""
        line = (element_fractions(data) * self.scale.baseline[data.labels["source"].astype(int)]).sum(1)
        return ((data.labels["formation_energy_per_atom"] - line) / self.scale.residual_std).astype(np.float32)


def force_rows(data: PackedCrystals, known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows of the study of forces: the DFT frames three times, all others with forces, and 4,000 energies of MP-20.

    On all rows, one in eight has forces, and a study of minutes shows hardly any of them twice.
    """
    labelled = np.logical_and.reduceat(np.isfinite(data.atom_labels["forces"]).all(axis=1), data.pointer[:-1])
    frames, others = np.flatnonzero(labelled & ~known), np.flatnonzero(labelled & known)
    energies = np.flatnonzero(known & ~labelled & (data.labels["source"] == SOURCES.index("mp20")))
    return np.concatenate([np.repeat(frames, 3), others, energies[:4_000]])


def test_rows(data: Path, limit: int) -> list[tuple[Crystal, float, float]]:
    """Structure, formation energy and energy above hull of the public MP-20 test half, eV/atom."""
    table = pd.read_parquet(data / "mp_20/test_public.parquet")
    table = table[table.formation_energy_per_atom.notna()]
    rows = [(crystal_of(r), r.formation_energy_per_atom, r.e_above_hull) for r in table.itertuples()]
    found = [(c, float(e), float(h)) for c, e, h in rows if c is not None]
    return found[: limit or None]


def error_figure(predicted: NDArray[np.float64], labels: NDArray[np.float64]) -> dict[str, Any]:
    error = np.abs(predicted - labels)
    interval = [round(x, 4) for x in bootstrap_mean(values=error)]
    return {"mae": round(float(error.mean()), 4), "interval": interval, "n": len(error)}


def energy_figure(study: Study, potential: DaoPotential) -> dict[str, Any]:
    """Formation energy and energy above hull of undisturbed test structures."""
    found = potential.predict([c for c, _, _ in study.tests])
    formation = error_figure(
        np.array([p.formation_energy_per_atom for p in found]), np.array([e for _, e, _ in study.tests])
    )
    hull = error_figure(np.array([p.e_above_hull_direct for p in found]), np.array([h for _, _, h in study.tests]))
    return {"formation": formation, "above_hull": hull}


def force_figure(potential: Potential, data: Path, limit: int) -> dict[str, Any]:
    """Force MAE in eV/angstrom of the held tenth of the DFT frames, interval over frames."""
    frames = dft_frames(data, held=True)[: limit or None]
    outcomes = potential.compute([c for c, *_ in frames])
    parts = [
        np.abs(o.forces - f).ravel() for (_, f, *_), o in zip(frames, outcomes, strict=True)
        if isinstance(o, PotentialResult)
    ]  # fmt: skip
    by_frame = np.array([p.mean() for p in parts])
    mean = float(np.concatenate(parts).mean())
    size = float(np.concatenate([np.abs(f).ravel() for _, f, *_ in frames]).mean())
    return {
        "mae": round(mean, 4),
        "mean_over_frames": round(float(by_frame.mean()), 4),
        "interval_over_frames": [round(x, 4) for x in bootstrap_mean(values=by_frame)],
        "mean_absolute_force": round(size, 4),
        "n": len(parts),
        "n_failed": len(frames) - len(parts),
    }


def run_study(study: Study) -> dict[str, Any]:
    args = study.args
    figure: dict[str, Any] = {}
    for name, energy in STUDIES[args.study].items():
        if name not in (args.arms or STUDIES[args.study]):
            continue
        if name == "cgcnn":
            answer, facts = study.train_cgcnn(name)
            found = {"formation": error_figure(answer(), np.array([e for _, e, _ in study.tests]))}
        else:
            potential, facts = study.train_ours(name, energy)
            found = energy_figure(study, potential)
            if args.study == "forces":
                found["forces"] = force_figure(potential, args.data, args.limit)
        kept = {k: facts[k] for k in ("steps", "structures", "seconds", "parameters")}
        figure[name] = {**found, **kept, "epochs": round(facts["structures"] / len(study.data), 1)}
        print(name, json.dumps(figure[name]), flush=True)
    if args.study == "forces":
        figure["CHGNet"] = {"forces": force_figure(ChgnetPotential(), args.data, args.limit)}
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", choices=list(STUDIES), required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--packed", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path("configs/train-predictor-laptop.yaml"))
    parser.add_argument("--seconds", type=float, default=300.0, help="CPU seconds of each arm")
    parser.add_argument("--cgcnn-rate", type=float, default=3e-3)
    parser.add_argument("--arms", nargs="+", help="only these arms; nothing is recorded then")
    parser.add_argument("--limit", type=int, default=0, help="rows for training, tests and frames; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    study = Study(args)
    figure = run_study(study)
    line = {"figure": figure, "n": len(study.tests), "rows": len(study.data), "seed": args.seed,
            "machine": f"{platform.machine()}, 1 thread"}  # fmt: skip
    if args.record and not args.arms:
        record_bar(**bar(args, line))
    print(json.dumps(line))


def bar(args: argparse.Namespace, line: dict[str, Any]) -> dict[str, Any]:
    """The line of bars.jsonl."""
    figure = line["figure"]
    common = {
        "n": line["n"], "details": line, "seed": args.seed,
        "command": f"python benchmarks/predictor_ablation.py --study {args.study} --seconds {args.seconds:.0f}"
        + (f" --limit {args.limit}" if args.limit else ""),
    }  # fmt: skip
    if args.study == "baseline":
        both = [figure[k]["formation"] for k in ("laptop", "cgcnn")]
        return {
            "issue": "energy", "row": "1b", "what": "formation energy MAE on the public MP-20 test half, eV/atom: the "
            f"laptop network and a CGCNN-size network, same rows, {args.seconds:.0f} CPU s each, from scratch",
            "value": [f["mae"] for f in both], "bar": "the first is lower; the shipped model has its own line",
            "met": both[0]["mae"] < both[1]["mae"], "interval": [f["interval"] for f in both], **common,
        }  # fmt: skip
    if args.study == "forces":
        maes = [figure[k]["forces"]["mae"] for k in ("with", "without", "CHGNet")]
        return {
            "issue": "energy", "row": 2, "what": "force MAE on the held tenth of the DFT frames, eV/angstrom: trained "
            f"with forces, without ({args.seconds:.0f} CPU s each, from scratch), CHGNet",
            "value": maes, "bar": "without / with >= 3", "met": maes[1] >= 3 * maes[0],
            "ratio": round(maes[1] / maes[0], 2),
            "interval": [figure[k]["forces"]["interval_over_frames"] for k in ("with", "without", "CHGNet")], **common,
        }  # fmt: skip
    arms = list(STUDIES["loss"])
    return {
        "issue": "energy", "row": 10, "what": "energy above hull MAE of undisturbed MP-20 test structures, eV/atom: "
        f"exponential loss, plain MSE, no undisturbed structures in training ({args.seconds:.0f} CPU s each)",
        "value": [figure[k]["above_hull"]["mae"] for k in arms], "bar": "an ablation; no number given", "met": None,
        "interval": [figure[k]["above_hull"]["interval"] for k in arms], **common,
    }  # fmt: skip


if __name__ == "__main__":
    main()
