"""Fine-tuning DAO-P on a scalar property: folds by formula, a new head, early stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from dao_core.crystal import Crystal
from dao_core.energy.property import KIND, PropertyError, PropertyScale, clean_outputs, scale_state, unit_predictions
from dao_core.models.build import build_network, parse_model_config
from dao_core.models.checkpoint_io import load_checkpoint, save_checkpoint
from dao_core.models.config import ModelConfig
from dao_core.training.ema import WeightAverage
from dao_core.training.packed import PackedCrystals, SizedBatches
from dao_core.training.property_config import PropertySettings

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADS = ("energy.", "heads.energy.")  # of LocalNet, and of the networks that share `Heads`


@dataclass
class FoldResult:
    """What the training of one member gave."""

    epochs: int
    best_epoch: int
    validation_mae: float
    seconds: float
    stopped_by: str
    history: list[float] = field(default_factory=list)


def fold_of(groups: Sequence[str], folds: int, seed: int) -> NDArray[np.int64]:
    """Fold number of each row, (M,): whole groups at random, so that no group stands on two sides.

    Raises PropertyError where there are fewer groups than folds.
    """
    names = sorted(set(groups))
    if len(names) < folds:
        raise PropertyError(f"{len(names)} different formulas cannot make {folds} folds: set folds lower")
    order = np.random.default_rng(seed).permutation(len(names))
    number = {names[int(i)]: k % folds for k, i in enumerate(order)}
    return np.array([number[g] for g in groups])


def starting_network(settings: PropertySettings) -> tuple[nn.Module, ModelConfig]:
    """The predictor's body with a fresh head of one number, or a fresh network. Raises CheckpointError."""
    torch.manual_seed(settings.seed)
    if settings.start is None:
        model = settings.model.model_copy(update={"n_energies": 1})
        return build_network(model), model
    earlier = load_checkpoint(settings.start, kind="predictor")
    model = parse_model_config({**earlier.config["model"], "n_energies": 1})
    network = build_network(model)
    body = {k: v for k, v in earlier.network.state_dict().items() if not k.startswith(HEADS)}
    missing = [k for k in network.load_state_dict(body, strict=False).missing_keys if not k.startswith(HEADS)]
    if missing:
        raise PropertyError(f"{settings.start} lacks weights of its own network: {', '.join(missing[:3])}")
    return network, model


def _optimizer(network: nn.Module, settings: PropertySettings) -> torch.optim.Optimizer:
    head = [p for name, p in network.named_parameters() if name.startswith(HEADS)]
    body = [p for name, p in network.named_parameters() if not name.startswith(HEADS)]
    rate = settings.head_learning_rate if settings.start is None else settings.learning_rate
    groups = [{"params": body, "lr": rate}, {"params": head, "lr": settings.head_learning_rate}]
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay)


@contextmanager
def averaged(network: nn.Module, average: WeightAverage) -> Iterator[None]:
    """The network with its averaged weights inside the block, with its own again after it."""
    own = {name: p.detach().clone() for name, p in network.named_parameters()}
    _load(network, average.weights)
    try:
        yield
    finally:
        _load(network, own)


@torch.no_grad()
def _load(network: nn.Module, weights: dict[str, Tensor]) -> None:
    for name, p in network.named_parameters():
        p.copy_(weights[name])


def fit_member(
    train: PackedCrystals, validation: PackedCrystals, settings: PropertySettings, directory: Path, *, card: str = ""
) -> FoldResult:
    """Train one member and write its checkpoint. Both sets carry the label "value" (the property's unit).

    The averaged weights of the epoch with the smallest validation error (MAE) are kept. Raises PropertyError where a
    label is missing or has no logarithm.
    """
    values = train.labels["value"].astype(np.float64)
    if not np.isfinite(values).all() or not np.isfinite(validation.labels["value"]).all():
        raise PropertyError("rows without a value among the training rows: leave them out")
    scale = PropertyScale.fit(values, settings.transform)
    network, model = starting_network(settings)
    best, result = _train(network, train, validation, scale, settings)
    _load(network, best)
    save_checkpoint(
        directory,
        network.state_dict(),
        kind=KIND,
        model=model.model_dump(),
        extra={
            "column": settings.column,
            "scale": scale_state(scale),
            "elements": sorted({int(z) for z in train.atomic_numbers}),
            "settings": settings.model_dump(),
            "training": {k: v for k, v in result.__dict__.items() if k != "history"},
        },
        card=card,
    )
    return result


def _train(
    network: nn.Module,
    train: PackedCrystals,
    validation: PackedCrystals,
    scale: PropertyScale,
    s: PropertySettings,
) -> tuple[dict[str, Tensor], FoldResult]:
    """The loop: the best averaged weights and how it went."""
    train.labels["unit"] = scale.to_unit(train.labels["value"].astype(np.float64)).astype(np.float32)
    batches = SizedBatches(train, batch_size=s.batch_size, seed=s.seed, max_pairs=s.max_pairs)
    held = [validation.crystal(i) for i in range(len(validation))]
    optimizer, average = _optimizer(network, s), WeightAverage(network, s.ema_decay)
    rates = [group["lr"] for group in optimizer.param_groups]
    began, result = time.process_time(), FoldResult(0, 0, math.inf, 0.0, "max_epochs")
    best = {name: w.clone() for name, w in average.weights.items()}
    for epoch in range(s.max_epochs):
        for rows in batches.epoch(epoch):
            spent = time.process_time() - began
            progress = min(1.0, max(epoch / s.max_epochs, spent / s.max_seconds if s.max_seconds else 0.0))
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
            _step(network, train, rows, optimizer, average, s.clip_norm)
            if s.max_seconds and spent >= s.max_seconds:
                result.stopped_by = "max_seconds"
                break
        result.epochs = epoch + 1
        with averaged(network, average):
            error = _mae(network, held, validation.labels["value"].astype(np.float64), scale)
        result.history.append(error)
        if error < result.validation_mae:
            result.validation_mae, result.best_epoch = error, epoch + 1
            best = {name: w.clone() for name, w in average.weights.items()}
        elif epoch + 1 - result.best_epoch >= s.patience:
            result.stopped_by = "early"
        if result.stopped_by != "max_epochs":
            break
    result.seconds = round(time.process_time() - began, 1)
    if not math.isfinite(result.validation_mae):
        raise PropertyError("the validation error is not a number in any epoch: lower the learning rates")
    return best, result


def _step(
    network: nn.Module,
    train: PackedCrystals,
    rows: NDArray[np.int64],
    optimizer: torch.optim.Optimizer,
    average: WeightAverage,
    clip_norm: float,
) -> None:
    network.train()
    batch = train.gather(rows)
    loss = F.smooth_l1_loss(clean_outputs(network, batch.crystals), batch.labels["unit"], beta=0.1)
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
    if torch.isfinite(norm):
        optimizer.step()
        average.update(network)


def _mae(network: nn.Module, crystals: list[Crystal], values: NDArray[np.float64], scale: PropertyScale) -> float:
    network.eval()
    return float(np.abs(scale.from_unit(unit_predictions(network, crystals)) - values).mean())


def split_member(
    data: PackedCrystals, folds: NDArray[np.int64], fold: int, groups: Sequence[str], settings: PropertySettings
) -> tuple[PackedCrystals, PackedCrystals]:
    """Training and validation rows of a fold: all other rows, a share of their formulas kept for early stopping."""
    rest = np.flatnonzero(folds != fold)
    names = sorted({groups[int(i)] for i in rest})
    rng = np.random.default_rng([settings.seed, fold])
    n_held = max(1, round(settings.validation_share * len(names)))
    held = {names[int(i)] for i in rng.permutation(len(names))[:n_held]}
    inside = np.array([groups[int(i)] in held for i in rest])
    return data.take(rest[~inside]), data.take(rest[inside])


def finetune_fold(
    data: PackedCrystals, groups: Sequence[str], fold: int, settings: PropertySettings, directory: Path, *, card: str
) -> dict[str, Any]:
    """Train the member of one fold and predict its held-out rows: {"rows", "predicted", "training"}."""
    folds = fold_of(groups, settings.folds, settings.seed)
    train, validation = split_member(data, folds, fold, groups, settings)
    result = fit_member(train, validation, settings, directory, card=card)
    checkpoint = load_checkpoint(directory, kind=KIND)
    rows = np.flatnonzero(folds == fold)
    units = unit_predictions(checkpoint.network, [data.crystal(int(i)) for i in rows])
    predicted = PropertyScale(**checkpoint.config["scale"]).from_unit(units)
    return {"rows": rows.tolist(), "predicted": predicted.tolist(), "training": result.__dict__}
