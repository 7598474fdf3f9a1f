"""Samples that go wrong on the way: kept from spoiling their batch, and marked as failed at its end."""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST = 1e7  # angstrom; a cell beyond it has diverged, early steps of a diffusion may come far
HARMLESS = 5.0  # angstrom; edge of the cell that stands in for one


class DivergenceGuard:
    """Rows of a batch that diverged. A linear algebra routine refuses a whole batch for one NaN in it."""

    def __init__(self, like: Tensor) -> None:
        """`like` (B, ...) gives the number of rows and the device."""
        self.failed = torch.zeros(len(like), dtype=torch.bool, device=like.device)

    def sound(self, lattice: Tensor, frac_coords: Tensor) -> tuple[Tensor, Tensor]:
        """Put a harmless stand-in in place of rows that diverged.

        Args:
            lattice: (B, 3, 3) in angstrom.
            frac_coords: (B, N, 3).

        Returns:
            Both, other rows as they were.
        """
        size = lattice.abs().flatten(1).amax(1)
        bad = ~(size < LARGEST) | ~torch.isfinite(frac_coords).flatten(1).all(1)  # NaN compares as False
        self.failed = self.failed | bad
        pick = self.failed.view(-1, 1, 1)
        cell = HARMLESS * torch.eye(3, dtype=lattice.dtype, device=lattice.device)
        return torch.where(pick, cell, lattice), torch.where(pick, torch.zeros_like(frac_coords), frac_coords)

    def marked(self, lattice: Tensor) -> Tensor:
        """The final lattices, NaN where a sample failed on the way."""
        return lattice.masked_fill(self.failed.view(-1, 1, 1), torch.nan)
