"""Fine-tuned properties: scales there and back, members averaged, what was never seen refused alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dao_core.crystal import Crystal
from dao_core.energy.property import KIND, PropertyError, PropertyModel, PropertyScale, unit_predictions
from dao_core.models.build import build_network
from dao_core.models.checkpoint_io import CheckpointContent, CheckpointError, save_checkpoint
from dao_core.models.config import LocalConfig
from tests.helpers.networks import random_crystals
from tests.helpers.structures import in_skewed_cell, rocksalt

CONFIG = LocalConfig(width=8, n_blocks=1, n_radial=6, time_dim=8, n_energies=1)


def member(directory: Path, seed: int, elements: list[int], *, nan: bool = False) -> None:
    torch.manual_seed(seed)
    network = build_network(CONFIG)
    if nan:
        for p in network.parameters():
            torch.nn.init.constant_(p, float("nan"))
    extra = {"column": "x", "scale": {"transform": "none", "mean": 10.0 * seed, "std": 2.0}, "elements": elements}
    save_checkpoint(directory, network.state_dict(), CheckpointContent(KIND, CONFIG.model_dump(), extra, ""))


def test_a_scale_goes_there_and_back() -> None:
    values = np.array([1.0, 5.0, 250.0])
    for transform in ("none", "log"):
        scale = PropertyScale.fit(values, transform)
        np.testing.assert_allclose(scale.from_unit(scale.to_unit(values)), values)
        assert scale.to_unit(values).std() == pytest.approx(1.0)


def test_what_has_no_logarithm_is_refused() -> None:
    with pytest.raises(PropertyError, match=r"smallest is -1: use none"):
        PropertyScale.fit(np.array([-1.0, 2.0]), "log")
    with pytest.raises(PropertyError, match="1 labelled rows"):
        PropertyScale.fit(np.array([1.0]), "none")


def test_members_are_averaged_and_their_spread_reported(tmp_path: Path) -> None:
    for seed in (1, 2):
        member(tmp_path / f"fold-{seed}", seed, list(range(1, 95)))
    crystals = random_crystals(0, (2, 5, 3))
    both = PropertyModel.load(tmp_path).predict(crystals)
    ones = [PropertyModel.load(tmp_path / f"fold-{s}").predict(crystals) for s in (1, 2)]
    for p, a, b in zip(both, *ones, strict=True):
        assert p.value == pytest.approx((a.value + b.value) / 2)  # type: ignore[operator]
        assert p.std == pytest.approx(abs(a.value - b.value) / 2)  # type: ignore[operator]
        assert (p.n_members, a.n_members) == (2, 1)
        assert a.std is None  # one answer has no spread, and 0 would say that it is certain


def test_an_unseen_element_fails_alone(tmp_path: Path) -> None:
    crystals = random_crystals(0, (2, 3))
    known = sorted(set(crystals[0].atomic_numbers.tolist()))
    alien = Crystal(np.eye(3) * 4, np.zeros((1, 3)), np.array([94]))
    member(tmp_path, 1, known)
    first, second = PropertyModel.load(tmp_path).predict([crystals[0], alien])
    assert first.value is not None
    assert second.value is None
    assert "atomic numbers [94]" in second.reason


def test_a_member_that_never_saw_the_element_is_not_asked(tmp_path: Path) -> None:
    crystal = random_crystals(0, (2,))[0]
    member(tmp_path / "fold-1", 1, list(range(1, 95)))
    member(tmp_path / "fold-2", 2, [94])
    both = PropertyModel.load(tmp_path).predict([crystal])[0]
    assert both == PropertyModel.load(tmp_path / "fold-1").predict([crystal])[0]


def test_nan_is_named(tmp_path: Path) -> None:
    member(tmp_path, 1, list(range(1, 95)), nan=True)
    assert PropertyModel.load(tmp_path).predict(random_crystals(0, (2,)))[0].reason == "the network returned NaN"


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    network = build_network(CONFIG)
    save_checkpoint(tmp_path, network.state_dict(), CheckpointContent("predictor", CONFIG.model_dump(), {}, ""))
    with pytest.raises(CheckpointError, match="holds a 'predictor' model, a 'property' is needed"):
        PropertyModel.load(tmp_path)
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        PropertyModel.load(tmp_path / "nowhere")


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    member(tmp_path, 1, [11])
    config = json.loads((tmp_path / "config.json").read_text())
    del config["scale"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"config\.json is damaged \(KeyError\('scale'\)\)"):
        PropertyModel.load(tmp_path)


def test_a_prediction_is_the_same_alone_and_in_a_batch() -> None:
    torch.manual_seed(0)
    network = build_network(CONFIG)
    crystals = random_crystals(3, (2, 7, 4))
    together = unit_predictions(network, crystals)
    alone = [unit_predictions(network, [c])[0] for c in crystals]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def test_a_prediction_does_not_depend_on_the_cell() -> None:
    torch.manual_seed(0)
    network = build_network(CONFIG)
    skewed = [in_skewed_cell(rocksalt(), shear) for shear in (0, 3, 12)]
    np.testing.assert_allclose(unit_predictions(network, skewed), unit_predictions(network, skewed[:1] * 3), atol=1e-5)
