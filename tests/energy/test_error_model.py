"""The error model learns how large errors are, does not depend on the cell, and is refused when damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from dao_core.crystal import Crystal
from dao_core.energy.error_model import (
    FILE,
    LEAST_ROWS,
    ErrorModel,
    error_features,
    fit_error_model,
    load_error_model,
    save_error_model,
)
from dao_core.energy.predictor import DaoPotential
from dao_core.models.checkpoint_io import SHIPPED, CheckpointError, load_checkpoint


def errors_like(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, Laplace errors whose size depends on two of them, and that size."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 6))
    size = np.exp(-3 + 0.8 * features[:, 0] + 0.5 * np.abs(features[:, 1]))
    errors = np.abs(rng.laplace(scale=size))
    return torch.tensor(features).float(), torch.tensor(errors).float(), torch.tensor(size).float()


def test_learns_the_size_of_errors_it_has_not_seen() -> None:
    model = fit_error_model(*errors_like(4000, 0)[:2])
    features, errors, size = errors_like(2000, 1)
    with torch.inference_mode():
        deviation = model(features)
    assert spearmanr(deviation, size).statistic > 0.9
    assert 0.70 < float((errors <= deviation).float().mean()) < 0.82  # a Laplace distribution: 75.7 %


def test_the_same_rows_give_the_same_model_and_leave_the_random_state_alone() -> None:
    features, errors, _ = errors_like(LEAST_ROWS, 0)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = fit_error_model(features, errors), fit_error_model(features, errors)
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_too_few_rows_are_refused() -> None:
    features, errors, _ = errors_like(LEAST_ROWS - 1, 0)
    with pytest.raises(ValueError, match="too few"):
        fit_error_model(features, errors)


def test_features_are_the_same_for_repeated_atoms_and_ignore_padding() -> None:
    atoms, members = torch.randn(1, 3, 4), torch.randn(1, 4)
    doubled = torch.cat([atoms, atoms, torch.full((1, 2, 4), 9.0)], dim=1)
    mask = torch.tensor([[True] * 6 + [False] * 2])
    expected = error_features(atoms, torch.ones(1, 3, dtype=torch.bool), members)
    assert torch.allclose(error_features(doubled, mask, members), expected, atol=1e-6)


def test_a_supercell_has_the_spread_of_its_cell() -> None:
    centred = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    sites = [*centred, *(np.array(centred) + 0.5) % 1]
    salt = Crystal(np.eye(3) * 5.64, sites, [11] * 4 + [17] * 4)
    primitive = Crystal(2.82 * (1 - np.eye(3)), [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17])
    potential = DaoPotential.load("predictor", device="cpu")
    assert potential.error_model is not None
    a, b = potential.predict([salt, primitive])
    assert a.std == pytest.approx(b.std, rel=1e-3)


def test_saved_and_loaded_it_is_the_same_and_damage_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "predictor"
    shutil.copytree(SHIPPED / "predictor", folder)
    checkpoint = load_checkpoint(folder)
    torch.manual_seed(0)
    model = ErrorModel(193).eval()
    checkpoint.config["error_model"] = save_error_model(folder, model)
    features = torch.randn(5, 193)
    back = load_error_model(checkpoint)
    assert back is not None
    assert torch.equal(back(features), model(features))
    data = bytearray((folder / FILE).read_bytes())
    data[-1] ^= 1
    (folder / FILE).write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load_error_model(checkpoint)
    (folder / FILE).unlink()
    with pytest.raises(CheckpointError, match=FILE):
        load_error_model(checkpoint)


def test_a_checkpoint_without_one_takes_the_spread_of_its_members() -> None:
    checkpoint = load_checkpoint("predictor")
    checkpoint.config.pop("error_model", None)
    assert load_error_model(checkpoint) is None
    potential = DaoPotential(checkpoint, device="cpu")
    salt = Crystal(2.82 * (1 - np.eye(3)), [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17])
    members = potential.read([salt]).members
    expected = np.hypot(float(members.std()) * potential.scale.spread_factor, potential.scale.spread_floor)
    assert potential.predict([salt])[0].std == pytest.approx(expected, rel=1e-5)
