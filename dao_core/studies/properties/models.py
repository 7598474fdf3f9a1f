"""Who predicts a property: DAO-P fine-tuned and from scratch, a CGCNN of the same time, trees on the composition."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from dao_core.energy.property import KIND, PropertyScale, unit_predictions
from dao_core.models.checkpoint_io import load_checkpoint
from dao_core.studies.properties.cgcnn import Cgcnn, Graphs, predict_all, predict_rows
from dao_core.studies.properties.features import composition_features
from dao_core.training.fit_property import fit_member, train_until_best
from dao_core.training.job import TrainingJob
from dao_core.training.packed import Batch, PackedCrystals
from dao_core.training.property_config import PropertySettings

MODELS = ("fine-tuned", "from scratch", "cgcnn", "trees")
TREE_RATE, TREE_ROUNDS, TREE_PATIENCE = 0.05, 600, 30


@dataclass(frozen=True)
class Folds:
    """Packed rows with the label "value" in the property's unit."""

    train: PackedCrystals
    validation: PackedCrystals
    test: PackedCrystals


@dataclass(frozen=True)
class Fitted:
    """Predictions of the test rows in the property's unit, (M,), and how the training went."""

    predicted: NDArray[np.float64]
    training: dict[str, Any]


def fit_dao(folds: Folds, settings: PropertySettings) -> Fitted:
    """DAO-P's network, from the checkpoint that the settings name or from scratch.

    Args:
        folds: Rows.
        settings: How.
    """
    with TemporaryDirectory(prefix="dao-property-") as folder:
        result = fit_member(folds.train, folds.validation, settings, Path(folder))
        checkpoint = load_checkpoint(folder, kind=KIND)
    crystals = [folds.test.crystal(i) for i in range(len(folds.test))]
    scale = PropertyScale(**checkpoint.config["scale"])
    return Fitted(scale.from_unit(unit_predictions(checkpoint.network, crystals)), result.__dict__)


def fit_cgcnn(folds: Folds, settings: PropertySettings) -> Fitted:
    """A CGCNN, trained on the same clock with the same loss; its neighbours are found before the clock starts.

    Args:
        folds: Rows.
        settings: How; the head's rate is that of the whole network.
    """
    values = folds.train.labels["value"].astype(np.float64)
    scale = PropertyScale.fit(values, settings.transform)
    target = torch.from_numpy(scale.to_unit(values).astype(np.float32))
    graphs, graphs_val = Graphs.build(folds.train), Graphs.build(folds.validation)
    truth = folds.validation.labels["value"].astype(np.float64)
    torch.manual_seed(settings.seed)
    network = Cgcnn()

    def objective(net: nn.Module, batch: Batch, _: torch.Generator) -> dict[str, Tensor]:
        units = predict_rows(net, folds.train, graphs, batch.rows.numpy())
        return {"loss": F.smooth_l1_loss(units, target[batch.rows], beta=0.1)}

    def error(net: nn.Module) -> float:
        return float(np.abs(scale.from_unit(predict_all(net, folds.validation, graphs_val)) - truth).mean())

    with TemporaryDirectory(prefix="cgcnn-") as folder:
        result = train_until_best(TrainingJob(network, objective, folds.train, Path(folder), None, error), settings)
    units = predict_all(network, folds.test, Graphs.build(folds.test))
    return Fitted(scale.from_unit(units), result.__dict__)


def fit_trees(folds: Folds, transform: str, seed: int) -> Fitted:
    """Gradient boosting on composition features, stopped by the same validation rows.

    Args:
        folds: Rows.
        transform: "none" or "log", as the networks learn it.
        seed: Of the trees.

    Returns:
        Predictions; there is no limit of time, it takes seconds.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    values = folds.train.labels["value"].astype(np.float64)
    scale = PropertyScale.fit(values, transform)
    trees = HistGradientBoostingRegressor(
        learning_rate=TREE_RATE, max_iter=TREE_ROUNDS, early_stopping=True, n_iter_no_change=TREE_PATIENCE,
        random_state=seed,
    )  # fmt: skip
    held = scale.to_unit(folds.validation.labels["value"].astype(np.float64))
    trees.fit(features_of(folds.train), scale.to_unit(values), X_val=features_of(folds.validation), y_val=held)
    predicted = scale.from_unit(trees.predict(features_of(folds.test)))
    return Fitted(predicted, {"epochs": int(trees.n_iter_), "stopped_by": "early"})


def features_of(data: PackedCrystals) -> NDArray[np.float64]:
    """Composition features of packed structures, (M, F)."""
    rows = []
    for a, b in zip(data.pointer[:-1], data.pointer[1:], strict=True):
        numbers, counts = np.unique(data.atomic_numbers[a:b], return_counts=True)
        rows.append({int(z): int(n) for z, n in zip(numbers, counts, strict=True)})
    return composition_features(rows)
