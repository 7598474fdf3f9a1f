"""Embeddings that all networks share: time and elements."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dao_core.elements import MAX_ATOMIC_NUMBER, element_descriptors


def sinusoidal_time(t: Tensor, dim: int) -> Tensor:
    """Sinusoidal embedding of a time.

    Args:
        t: In [0, 1], (B,).
        dim: Size of the embedding, even.

    Returns:
        (B, dim).
    """
    half = dim // 2
    rate = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=t.dtype, device=t.device) / max(half - 1, 1))
    angle = 1000.0 * t.unsqueeze(-1) * rate
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class ElementEmbedding(nn.Module):
    """Fixed 92-number element vectors, then a linear layer (method section 2)."""

    table: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        table = torch.tensor(element_descriptors(), dtype=torch.float32)
        self.register_buffer("table", table, persistent=False)
        self.linear = nn.Linear(table.shape[1], width)

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """Embed elements.

        Args:
            atomic_numbers: (B, N); 0, padding, has a vector of its own.

        Returns:
            (B, N, width).
        """
        return self.linear(self.table[atomic_numbers.clamp(0, MAX_ATOMIC_NUMBER)])
