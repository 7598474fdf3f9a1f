"""Random tensors drawn on the CPU and moved to where they are needed: one seed gives one stream on every device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def uniform(*shape: int, rng: torch.Generator, like: Tensor) -> Tensor:
    """Uniform random numbers in [0, 1).

    Args:
        *shape: Sizes.
        rng: Stream on the CPU.
        like: A tensor on the device where they are needed.
    """
    return torch.rand(*shape, generator=rng, dtype=torch.float32).to(like.device)


def normal(*shape: int, rng: torch.Generator, like: Tensor) -> Tensor:
    """Unit Gaussian random numbers.

    Args:
        *shape: Sizes.
        rng: Stream on the CPU.
        like: A tensor on the device where they are needed.
    """
    return torch.randn(*shape, generator=rng, dtype=torch.float32).to(like.device)


class RowDraws:
    """Noise for a batch of `like` (B, N), one stream a structure: a sample does not depend on its batch or padding."""

    def __init__(self, streams: Sequence[np.random.Generator], like: Tensor) -> None:
        self.streams, self.like = streams, like
        self.sizes = (like > 0).sum(1).tolist()

    def cells(self) -> Tensor:
        """Unit Gaussians, (B, 3, 3)."""
        drawn = np.stack([s.normal(size=(3, 3)) for s in self.streams])
        return torch.as_tensor(drawn, dtype=torch.float32).to(self.like.device)

    def atoms(self) -> Tensor:
        """Unit Gaussians, (B, N, 3), zero on padding."""
        return self._padded([s.normal(size=(n, 3)) for s, n in zip(self.streams, self.sizes, strict=True)])

    def positions(self) -> Tensor:
        """Uniform in [0, 1), (B, N, 3), zero on padding."""
        return self._padded([s.random((n, 3)) for s, n in zip(self.streams, self.sizes, strict=True)])

    def _padded(self, rows: list[NDArray[np.float64]]) -> Tensor:
        out = torch.zeros(*self.like.shape, 3, dtype=torch.float32)
        for i, row in enumerate(rows):
            out[i, : len(row)] = torch.as_tensor(row, dtype=torch.float32)
        return out.to(self.like.device)
