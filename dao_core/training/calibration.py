"""How far a trained predictor's energies may be off: learned from held-out rows, or kept from what it continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dao_core.crystal import Crystal
from dao_core.energy.error_model import LEAST_ROWS, fit_error_model, load_error_model, save_error_model
from dao_core.energy.predictor import DaoPotential, size_batches
from dao_core.energy.uncertainty import calibrate
from dao_core.models.checkpoint_io import Checkpoint, CheckpointContent, load_checkpoint, save_checkpoint

FITTED_SHARE = 0.8  # of the held-out rows teach the error model, the rest calibrate it
LEAST_FORMULAS = 10  # held-out ones that calibrate a continued predictor anew: errors of fewer say little of others
Array = NDArray[np.float64]


def calibrate_or_keep(
    directory: Path, content: CheckpointContent, held: tuple[Sequence[Crystal], Array], earlier: Checkpoint | None
) -> dict[str, Any]:
    """Give a saved predictor its spread: from held-out rows or, where they are too few, from what it continues.

    Args:
        directory: The checkpoint, which is written anew.
        content: Of the checkpoint; its scale holds the spread of the predictor that is continued.
        held: Structures that it was not trained on, and their formation energies in eV/atom, (M,).
        earlier: The predictor that is continued; None: it began with random weights.

    Returns:
        Facts of the training: the error on the held-out rows in eV/atom, or why there is none.
    """
    crystals, labels = held
    n_formulas = len({c.formula_reduced for c in crystals})
    if n_formulas >= LEAST_FORMULAS or (earlier is None and n_formulas):
        return {"validation_mae_eV_per_atom": calibrate_checkpoint(directory, content, crystals, labels)}
    if earlier is None:
        return {"calibration": "none, no row of the reference is held out: the spread is that of the members alone"}
    _keep_calibration(directory, content, earlier)
    return {
        "calibration": f"that of {earlier.identity}: {n_formulas} formulas of the reference are held out, "
        f"a new one takes {LEAST_FORMULAS}"
    }


def _keep_calibration(directory: Path, content: CheckpointContent, earlier: Checkpoint) -> None:
    """Write the error model and the calibration of the predictor that is continued into a checkpoint.

    Its members soon agree on the few rows that all of them learn, so that their own spread would say next to nothing.
    """
    model = load_error_model(earlier)
    if model is not None:
        content.extra["error_model"] = save_error_model(directory, model)
    if "calibration" in earlier.config:
        content.extra["calibration"] = {"made_on": earlier.identity, **earlier.config["calibration"]}
    save_checkpoint(directory, load_checkpoint(directory, kind="predictor").network.state_dict(), content)


def calibrate_checkpoint(
    directory: Path, content: CheckpointContent, crystals: Sequence[Crystal], labels: Array
) -> float:
    """Learn how far a predictor's energies are off, on structures that it was not trained on.

    Where there are enough of them an error model is fitted to four fifths; the rest calibrates it. Fewer calibrate the
    spread of the ensemble's members.

    Args:
        directory: The checkpoint, which is written anew.
        content: Of the checkpoint.
        crystals: Held-out structures.
        labels: Their formation energies in eV/atom, (M,).

    Returns:
        Mean absolute error, eV/atom.
    """
    content.extra.pop("error_model", None)
    plain = content.extra["energy_scale"]
    content.extra["energy_scale"] = {**plain, "spread_factor": 1.0, "spread_floor": 0.0}
    network = load_checkpoint(directory, kind="predictor").network.state_dict()
    save_checkpoint(directory, network, content)
    rows = np.random.default_rng(0).permutation(len(labels))
    n_fitted = int(FITTED_SHARE * len(labels))
    if n_fitted >= LEAST_ROWS:
        fitted, rows = rows[:n_fitted], rows[n_fitted:]
        potential = DaoPotential.load(directory)
        model = fit_error_model(*errors_of(potential, [crystals[i] for i in fitted], labels[fitted]))
        content.extra["error_model"] = save_error_model(directory, model)
        save_checkpoint(directory, network, content)
    potential = DaoPotential.load(directory)
    report = calibrate(predictions=potential.predict([crystals[i] for i in rows]), labels=labels[rows])
    scale = replace(potential.scale, spread_factor=report.factor, spread_floor=report.floor)
    content.extra.update(energy_scale=scale.state(), calibration=report.summary())
    save_checkpoint(directory, network, content)
    return report.mae


def errors_of(potential: DaoPotential, crystals: Sequence[Crystal], labels: Array) -> tuple[Tensor, Tensor]:
    """What an error model learns from.

    Args:
        potential: The predictor.
        crystals: Structures that it was not trained on.
        labels: Their formation energies in eV/atom, (M,).

    Returns:
        Features (M, F) and absolute errors in eV/atom, (M,).
    """
    features: list[Tensor] = [torch.empty(0)] * len(labels)
    errors = torch.empty(len(labels))
    for rows in size_batches(crystals, potential.batch_pairs):
        read = potential.read([crystals[i] for i in rows])
        energies = read.members.mean(1).double().cpu().numpy()
        for i, row in zip(rows, read.features.float().cpu(), strict=True):
            features[i] = row
        errors[rows] = torch.from_numpy(np.abs(energies - labels[rows])).float()
    return torch.stack(features), errors
