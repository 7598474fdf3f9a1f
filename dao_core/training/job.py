"""What a training run trains: the network, the loss and the data, without how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dao_core.training.packed import Batch, PackedCrystals

Objective = Callable[[nn.Module, Batch, torch.Generator], dict[str, Tensor]]
VALIDATION = "validation"  # name under which Lightning's callbacks find the figure


@dataclass
class TrainingJob:
    """One training.

    Attributes:
        network: It ends with the averaged weights.
        objective: (network, batch, random numbers) -> losses; "loss" is minimised. Several ranks pickle it.
        data: Training rows.
        directory: Working folder with the resume state; a stopped run goes on there.
        parameter_groups: Groups of parameters with rates of their own, as torch's optimisers take them.
        validate: Error of the averaged network, computed after each `validate_every` steps; the smallest is kept.
        validate_every: Steps.
        patience: Validations without a better one before the run stops.
    """

    network: nn.Module
    objective: Objective
    data: PackedCrystals
    directory: Path
    parameter_groups: list[dict[str, Any]] | None = None
    validate: Callable[[nn.Module], float] | None = None
    validate_every: int = 1
    patience: int = 1
