"""How far DAO-P's energy may be off, read from the network's own atom states.

The spread of the ensemble's members alone orders errors poorly: their heads share everything below. Small networks
learn the size of the error from held-out structures instead, given what the predictor sees in them (mean and spread of
the atom states) and the members' spread. They maximize the likelihood of a Laplace error, whose heavy tails fit.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dao_core.models.checkpoint_io import Checkpoint, CheckpointError, verified_weights, write_weights
from dao_core.models.heads import masked_mean

FILE = "error_model.safetensors"
HIDDEN = 32
N_NETS = 4  # whose logarithms are averaged
LEAST_ROWS = 1000  # held-out structures; fewer teach it nothing
EPOCHS, PATIENCE, BATCH = 60, 10, 128
HELD_SHARE = 0.1  # of the rows: say when to stop
CLIPPED = 4.0  # standard deviations; beyond them a feature says no more than "far"
LOG_RANGE = (-7.0, 2.0)  # of the error's size in eV/atom
LAPLACE = 2**0.5  # standard deviation over mean absolute deviation


class ErrorModel(nn.Module):
    """From features of structures to the standard deviation of their energies' errors."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.center: Tensor
        self.scale: Tensor
        self.register_buffer("center", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.nets = nn.ModuleList(_net(n_features) for _ in range(N_NETS))
        self.offset = nn.Parameter(torch.zeros(N_NETS))

    def log_deviations(self, features: Tensor) -> Tensor:
        """Logarithm of the mean absolute error, as each of the nets sees it.

        Args:
            features: From `error_features`, (B, F).

        Returns:
            (B, N_NETS), the deviation in eV/atom.
        """
        scaled = ((features - self.center) / self.scale).clamp(-CLIPPED, CLIPPED)
        log = torch.cat([net(scaled) for net in self.nets], dim=1) + self.offset
        return log.clamp(*LOG_RANGE)

    def forward(self, features: Tensor) -> Tensor:
        """Standard deviation of the error, eV/atom, (B,), of features (B, F)."""
        return LAPLACE * self.log_deviations(features).mean(1).exp()


def _net(n_features: int) -> nn.Sequential:
    """One net, whose answers start close to zero."""
    last = nn.Linear(HIDDEN, 1)
    with torch.no_grad():
        last.weight.mul_(0.1)
    return nn.Sequential(nn.Linear(n_features, HIDDEN), nn.SiLU(), nn.Dropout(0.3), last)


def error_features(atoms: Tensor, mask: Tensor, members: Tensor) -> Tensor:
    """What the error is read from.

    Args:
        atoms: Last states of the predictor's network, (B, N, W).
        mask: Real atoms, (B, N).
        members: Energies of the ensemble's members in eV/atom, (B, K).

    Returns:
        (B, 2 W + 1): mean and spread of the states, logarithm of the members' spread. The same for any choice of cell.
    """
    mean = masked_mean(atoms, mask)
    spread = masked_mean((atoms - mean.unsqueeze(1)).square(), mask).sqrt()
    return torch.cat([mean, spread, (members.std(1) + 1e-4).log().unsqueeze(1)], dim=1)


def fit_error_model(features: Tensor, errors: Tensor, *, seed: int = 0) -> ErrorModel:
    """Learn the size of errors.

    Args:
        features: Of structures that the predictor was not trained on, (M, F).
        errors: Their absolute errors in eV/atom, (M,).
        seed: Of the start, the order and the rows that are held.

    Returns:
        The model as it was when the held rows were likeliest.

    Raises:
        ValueError: Fewer than LEAST_ROWS rows.
    """
    if len(errors) < LEAST_ROWS:
        raise ValueError(f"{len(errors)} held-out structures are too few to learn errors from: give {LEAST_ROWS}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        order = torch.randperm(len(errors))
        n_held = int(HELD_SHARE * len(errors))
        held, rows = order[:n_held], order[n_held:]
        model = ErrorModel(features.shape[1])
        model.center.copy_(features[rows].mean(0))
        model.scale.copy_(features[rows].std(0) + 1e-6)
        with torch.no_grad():
            model.offset.fill_(float(errors[rows].mean().log()))
        return _trained(model, (features[rows], errors[rows]), (features[held], errors[held]))


def _trained(model: ErrorModel, train: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor]) -> ErrorModel:
    """The model of the best epoch; it stops when the held rows have got no likelier for PATIENCE epochs."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    best, kept, since = float("inf"), copy.deepcopy(model.state_dict()), 0
    for _ in range(EPOCHS):
        model.train()
        for rows in torch.randperm(len(train[1])).split(BATCH):
            optimizer.zero_grad()
            _negative_log_likelihood(model, train[0][rows], train[1][rows]).backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            loss = float(_negative_log_likelihood(model, *held))
        since += 1
        if loss < best:
            best, kept, since = loss, copy.deepcopy(model.state_dict()), 0
        if since == PATIENCE:
            break
    model.load_state_dict(kept)
    return model.eval()


def _negative_log_likelihood(model: ErrorModel, features: Tensor, errors: Tensor) -> Tensor:
    """Mean negative log-likelihood of the errors under each net's Laplace distribution, but for a constant."""
    log = model.log_deviations(features)
    return (log + errors.unsqueeze(1) * (-log).exp()).mean()


def save_error_model(directory: Path, model: ErrorModel) -> dict[str, Any]:
    """Write the model beside a checkpoint's weights.

    Args:
        directory: The checkpoint's folder.
        model: Fitted.

    Returns:
        What the checkpoint's configuration has to say under `error_model`.
    """
    return {"sha256": write_weights(directory / FILE, model.state_dict())}


def load_error_model(checkpoint: Checkpoint) -> ErrorModel | None:
    """The error model of a predictor.

    Args:
        checkpoint: Of a predictor.

    Returns:
        The model; None where the checkpoint has none: those of 0.1, and of trainings with few held-out rows.

    Raises:
        CheckpointError: It is missing or damaged although the configuration names one.
    """
    facts: Mapping[str, Any] | None = checkpoint.config.get("error_model")
    if facts is None:
        return None
    path = checkpoint.path / FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} is unreadable: {error}; fetch or train the predictor again") from error
    weights = verified_weights(path, data, facts.get("sha256"))
    try:
        model = ErrorModel(len(weights["center"]))
        model.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path} is no error model: {error}; fetch or train the predictor again") from error
    return model.eval()
