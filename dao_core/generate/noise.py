"""Random tensors drawn on the CPU and moved to where they are needed: one seed gives one stream on every device."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(*shape: int, rng: torch.Generator, like: Tensor) -> Tensor:
    """Numbers in [0, 1) of the given shape, on the device of `like`."""
    return torch.rand(*shape, generator=rng).to(like.device)


def normal(*shape: int, rng: torch.Generator, like: Tensor) -> Tensor:
    """Unit Gaussian numbers of the given shape, on the device of `like`."""
    return torch.randn(*shape, generator=rng).to(like.device)
