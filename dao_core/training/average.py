"""Exponential moving average of the weights, by torch's `AveragedModel`."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged_model(network: nn.Module, decay: float) -> AveragedModel:
    """A running average of a network's parameters that starts short, so that it forgets the start.

    Args:
        network: What is trained; it is copied.
        decay: Weight of the past once the average is long, in [0, 1).

    Returns:
        The average; `update_parameters(network)` folds the current weights in, `module` holds the averaged network.
    """
    average = AveragedModel(network, multi_avg_fn=partial(_fold_in, decay))  # a partial, because ranks pickle it
    average.requires_grad_(False)
    return average


@torch.no_grad()
def _fold_in(decay: float, averaged: list[Tensor], current: list[Tensor], n_averaged: Tensor) -> None:
    """The n-th update: the past has the weight min(decay, (1 + n) / (10 + n))."""
    n = int(n_averaged)
    torch._foreach_lerp_(averaged, current, 1.0 - min(decay, (1 + n) / (10 + n)))
