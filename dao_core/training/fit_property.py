"""Fine-tuning DAO-P on a scalar property: folds by formula, a new head, early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from dao_core.energy.property import KIND, PropertyError, PropertyScale, clean_outputs, unit_predictions
from dao_core.models.build import build_network, parse_model_config
from dao_core.models.checkpoint_io import CheckpointContent, load_checkpoint, save_checkpoint
from dao_core.models.config import ModelConfig
from dao_core.training.config import TrainingConfig
from dao_core.training.job import TrainingJob
from dao_core.training.packed import Batch, PackedCrystals, SizedBatches
from dao_core.training.property_config import PropertySettings
from dao_core.training.trainer import run_training

HEADS = ("energy.", "heads.energy.", "references.")  # of LocalNet, and of the networks that share `Heads`
NO_CLIPPING, NEVER = 1e9, 1e9


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
    """Fold number of each row: whole groups at random, so that no group stands on two sides.

    Args:
        groups: Name of each row's group.
        folds: How many.
        seed: Of the shuffling.

    Returns:
        (M,).

    Raises:
        PropertyError: There are fewer groups than folds.
    """
    names = sorted(set(groups))
    if len(names) < folds:
        raise PropertyError(f"{len(names)} different formulas cannot make {folds} folds: set folds lower")
    order = np.random.default_rng(seed).permutation(len(names))
    number = {names[int(i)]: k % folds for k, i in enumerate(order)}
    return np.array([number[g] for g in groups])


def starting_network(settings: PropertySettings) -> tuple[nn.Module, ModelConfig]:
    """The predictor's body with a fresh head of one number, or a fresh network.

    Args:
        settings: Name the predictor, or the network.

    Returns:
        The network and its configuration.

    Raises:
        CheckpointError: The predictor cannot be read.
    """
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


def _parameter_groups(network: nn.Module, settings: PropertySettings) -> list[dict[str, Any]]:
    """The body at its own rate, the head at the head's."""
    head = [p for name, p in network.named_parameters() if name.startswith(HEADS)]
    body = [p for name, p in network.named_parameters() if not name.startswith(HEADS)]
    return [{"params": body, "lr": _body_rate(settings)}, {"params": head, "lr": settings.head_learning_rate}]


def _body_rate(settings: PropertySettings) -> float:
    return settings.head_learning_rate if settings.start is None else settings.learning_rate


def fit_member(
    train: PackedCrystals, validation: PackedCrystals, settings: PropertySettings, directory: Path, *, card: str = ""
) -> FoldResult:
    """Train one member and write its checkpoint.

    Args:
        train: Training rows with the label "value" in the property's unit.
        validation: Rows that decide when training stops: the averaged weights with the smallest error (MAE) are kept.
        settings: How.
        directory: Where the checkpoint goes.
        card: The model card.

    Returns:
        How it went.

    Raises:
        PropertyError: A label is missing or has no logarithm, or the error is never a number.
    """
    values = train.labels["value"].astype(np.float64)
    if not np.isfinite(values).all() or not np.isfinite(validation.labels["value"]).all():
        raise PropertyError("rows without a value among the training rows: leave them out")
    scale = PropertyScale.fit(values, settings.transform)
    network, model = starting_network(settings)
    train = replace(train, labels={**train.labels, "unit": scale.to_unit(values).astype(np.float32)})
    with TemporaryDirectory(prefix="fold-") as working:
        job = TrainingJob(
            network, property_objective, train, Path(working), _parameter_groups(network, settings),
            _ValidationError(validation, scale),
        )  # fmt: skip
        result = train_until_best(job, settings)
    extra = {
        "column": settings.column,
        "scale": asdict(scale),
        "elements": sorted({int(z) for z in train.atomic_numbers}),
        "settings": settings.model_dump(),
        "training": {k: v for k, v in result.__dict__.items() if k != "history"},
    }
    save_checkpoint(directory, network.state_dict(), CheckpointContent(KIND, model.model_dump(), extra, card))
    return result


def property_objective(network: nn.Module, batch: Batch, _: torch.Generator) -> dict[str, Tensor]:
    """Smooth absolute error of the property in network units.

    Args:
        network: What is trained.
        batch: Structures with the label "unit".
        _: Random numbers; not needed.
    """
    return {"loss": F.smooth_l1_loss(clean_outputs(network, batch.crystals), batch.labels["unit"], beta=0.1)}


class _ValidationError:
    """Mean absolute error of a network on held-out rows, in the property's unit."""

    def __init__(self, rows: PackedCrystals, scale: PropertyScale) -> None:
        self.crystals = [rows.crystal(i) for i in range(len(rows))]
        self.values, self.scale = rows.labels["value"].astype(np.float64), scale

    def __call__(self, network: nn.Module) -> float:
        network.eval()
        return float(np.abs(self.scale.from_unit(unit_predictions(network, self.crystals)) - self.values).mean())


def train_until_best(job: TrainingJob, s: PropertySettings) -> FoldResult:
    """Train through the loop of all networks, an epoch between validations; the network ends with the best weights.

    Args:
        job: Network, objective, rows, working folder, groups of parameters and the validation error; how often it is
            validated and when it stops is set here.
        s: Rates, sizes and the end.

    Returns:
        How it went.

    Raises:
        PropertyError: The error is never a number.
    """
    rate = _body_rate(s)
    batches = SizedBatches(job.data, batch_size=s.batch_size, seed=s.seed, max_pairs=s.max_pairs)
    epoch = len(batches.epoch(0))
    config = TrainingConfig(
        batch_size=s.batch_size, max_pairs=s.max_pairs, learning_rate=rate, final_learning_rate=0.01 * rate,
        warmup_steps=0, weight_decay=s.weight_decay, clip_norm=s.clip_norm, clip_value=NO_CLIPPING,
        ema_decay=s.ema_decay, max_steps=s.max_epochs * epoch, max_seconds=s.max_seconds, clock="cpu",
        checkpoint_every_s=NEVER, seed=s.seed, precision="32", compile="never",
    )  # fmt: skip
    facts = run_training(replace(job, validate_every=epoch, patience=s.patience), config)
    history = facts["validations"]
    if not np.isfinite(history).any():
        raise PropertyError("the validation error is not a number in any epoch: lower the learning rates")
    best = int(np.nanargmin(history))
    stopped_by = "max_epochs"
    if facts["steps"] < s.max_epochs * epoch:
        stopped_by = "early" if len(history) - (best + 1) >= s.patience else "max_seconds"
    return FoldResult(len(history), best + 1, history[best], facts["seconds"], stopped_by, history)


@dataclass(frozen=True)
class PropertyData:
    """Labelled rows (label "value") and the formula of each, by which the folds are cut."""

    rows: PackedCrystals
    groups: Sequence[str]

    def split(self, fold: int, settings: PropertySettings) -> tuple[PackedCrystals, PackedCrystals]:
        """Training and validation rows of a fold: all other rows, a share of their formulas kept for early stopping.

        Args:
            fold: The fold that is left out.
            settings: Number of folds, share and seed.

        Returns:
            Training and validation rows.
        """
        rest = np.flatnonzero(fold_of(self.groups, settings.folds, settings.seed) != fold)
        names = sorted({self.groups[int(i)] for i in rest})
        rng = np.random.default_rng([settings.seed, fold])
        n_held = max(1, round(settings.validation_share * len(names)))
        held = {names[int(i)] for i in rng.permutation(len(names))[:n_held]}
        inside = np.array([self.groups[int(i)] in held for i in rest])
        return self.rows.take(rest[~inside]), self.rows.take(rest[inside])


def finetune_fold(
    data: PropertyData, fold: int, settings: PropertySettings, directory: Path, *, card: str
) -> dict[str, Any]:
    """Train the member of one fold and predict its held-out rows.

    Args:
        data: All rows.
        fold: The fold that is left out.
        settings: How.
        directory: Where the member's checkpoint goes.
        card: The model card.

    Returns:
        "rows", the numbers of the held-out rows, "predicted", in the property's unit, and "training", how it went.
    """
    train, validation = data.split(fold, settings)
    result = fit_member(train, validation, settings, directory, card=card)
    checkpoint = load_checkpoint(directory, kind=KIND)
    rows = np.flatnonzero(fold_of(data.groups, settings.folds, settings.seed) == fold)
    units = unit_predictions(checkpoint.network, [data.rows.crystal(int(i)) for i in rows])
    predicted = PropertyScale(**checkpoint.config["scale"]).from_unit(units)
    return {"rows": rows.tolist(), "predicted": predicted.tolist(), "training": result.__dict__}
