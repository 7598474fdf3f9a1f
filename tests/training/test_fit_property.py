"""Fine-tuning: formulas stay on one side, the head is new and the body is not, training learns and stops early."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dao_core.crystal import Crystal
from dao_core.energy.property import PropertyError, PropertyModel
from dao_core.models.build import build_network
from dao_core.models.checkpoint_io import CheckpointContent, load_checkpoint, save_checkpoint
from dao_core.models.config import LocalConfig
from dao_core.training.fit_property import (
    PropertyData,
    finetune_fold,
    fit_member,
    fold_of,
    starting_network,
    train_until_best,
)
from dao_core.training.job import TrainingJob
from dao_core.training.packed import Batch, PackedCrystals
from dao_core.training.property_config import PropertySettings

MODEL = LocalConfig(width=16, n_blocks=1, n_radial=8, time_dim=8, cutoff=4.0)


def settings(**changes: object) -> PropertySettings:
    plain = {"column": "volume", "start": None, "model": MODEL, "folds": 2, "batch_size": 16, "max_epochs": 30}
    return PropertySettings.model_validate({**plain, "head_learning_rate": 1e-2, "ema_decay": 0.9, **changes})


def simple_cubic(n: int = 60) -> tuple[PackedCrystals, list[str]]:
    """One atom in a cube; the value is its edge, so that distance alone decides."""
    rng = np.random.default_rng(0)
    edges = rng.uniform(2.2, 3.8, n)
    numbers = rng.integers(20, 40, n)
    crystals = [Crystal(np.eye(3) * a, np.zeros((1, 3)), np.array([z])) for a, z in zip(edges, numbers, strict=True)]
    return PackedCrystals.from_crystals(crystals, value=edges.tolist()), [c.formula_reduced for c in crystals]


def test_a_formula_stays_on_one_side() -> None:
    groups = [f"f{i % 7}" for i in range(50)]
    folds = fold_of(groups, 3, seed=1)
    assert set(folds.tolist()) == {0, 1, 2}
    assert all(len({int(f) for f, g in zip(folds, groups, strict=True) if g == name}) == 1 for name in set(groups))
    with pytest.raises(PropertyError, match="7 different formulas cannot make 8 folds"):
        fold_of(groups, 8, seed=1)


def test_training_and_validation_share_no_formula_with_the_fold() -> None:
    data, groups = simple_cubic()
    folds = fold_of(groups, 2, seed=0)
    train, validation = PropertyData(data, groups).split(0, settings())
    assert len(train) + len(validation) == int((folds != 0).sum())
    left = {int(z) for z in train.atomic_numbers}
    held = {int(z) for z in validation.atomic_numbers}
    asked = {int(z) for z in data.atomic_numbers[folds == 0]}
    assert not left & held
    assert not (left | held) & asked


def test_it_learns_and_the_kept_weights_are_the_best_epoch_s(tmp_path: Path) -> None:
    data, groups = simple_cubic()
    result = finetune_fold(PropertyData(data, groups), 0, settings(), tmp_path, card="# test")
    train, _ = PropertyData(data, groups).split(0, settings())
    labels = data.labels["value"][result["rows"]]
    error = np.abs(np.array(result["predicted"]) - labels).mean()
    assert error < 0.5 * np.abs(labels - labels.mean()).mean()
    history = result["training"]["history"]
    assert result["training"]["validation_mae"] == min(history)
    assert history[result["training"]["best_epoch"] - 1] == min(history)
    assert load_checkpoint(tmp_path, kind="property").config["column"] == "volume"
    assert PropertyModel.load(tmp_path).predict([train.crystal(0)])[0].value is not None


def test_it_stops_when_validation_no_longer_improves(tmp_path: Path) -> None:
    data, _ = simple_cubic(20)
    still = settings(head_learning_rate=1e-12, learning_rate=1e-12, patience=2, ema_decay=0.0)
    result = fit_member(data.take(np.arange(12)), data.take(np.arange(12, 20)), still, tmp_path)
    assert result.stopped_by == "early"
    assert result.epochs < 30


def test_cpu_seconds_end_a_fold(tmp_path: Path) -> None:
    data, _ = simple_cubic(20)
    result = fit_member(data.take(np.arange(12)), data.take(np.arange(12, 20)), settings(max_seconds=1e-9), tmp_path)
    assert (result.stopped_by, result.epochs) == ("max_seconds", 1)


def test_the_body_is_the_predictor_s_and_the_head_is_new(tmp_path: Path) -> None:
    torch.manual_seed(7)
    config = MODEL.model_copy(update={"n_energies": 5})
    earlier = build_network(config)
    save_checkpoint(tmp_path, earlier.state_dict(), CheckpointContent("predictor", config.model_dump(), {}, ""))
    network, model = starting_network(settings(start=str(tmp_path)))
    assert model.n_energies == 1
    before, after = earlier.state_dict(), network.state_dict()
    for name, weight in after.items():
        if name.startswith("energy."):
            assert name == "energy.2.weight" or weight.shape != before[name].shape or not weight.equal(before[name])
        else:
            assert weight.equal(before[name]), name


def test_a_missing_label_is_refused(tmp_path: Path) -> None:
    data, _ = simple_cubic(20)
    data.labels["value"][3] = np.nan
    with pytest.raises(PropertyError, match="without a value"):
        fit_member(data.take(np.arange(12)), data.take(np.arange(12, 20)), settings(), tmp_path)


def test_running_statistics_belong_to_the_weights_that_are_kept(tmp_path: Path) -> None:
    data, _ = simple_cubic()
    network = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    states: list[dict[str, Tensor]] = []

    def objective(net: nn.Module, batch: Batch, _: torch.Generator) -> dict[str, Tensor]:
        edges = batch.labels["value"].unsqueeze(-1)
        return {"loss": ((net(edges) - edges) ** 2).mean()}

    def worse_each_time(net: nn.Module) -> float:
        states.append({name: value.clone() for name, value in net.state_dict().items()})
        return float(len(states))

    job = TrainingJob(network, objective, data, tmp_path, None, worse_each_time)
    result = train_until_best(job, settings(max_epochs=4))
    assert (result.best_epoch, result.epochs) == (1, 4)
    assert not torch.equal(states[0]["1.running_mean"], states[-1]["1.running_mean"])
    for name, value in network.state_dict().items():
        assert torch.equal(value, states[0][name]), name
