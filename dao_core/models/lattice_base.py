"""The lattice as a rotation-free vector: the symmetric matrix logarithm of the polar-decomposed cell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dao_core.crystal import Crystal
from dao_core.matching.atomic_volumes import fit_atomic_volumes
from dao_core.models.geometry import full_precision

_ROOT2 = math.sqrt(2.0)


def log_lattice(lattice: Tensor) -> Tensor:
    """S with exp(S) = (L L^T)^(1/2) as an isometric vector; its trace is the log volume.

    L = exp(S) Q with a rotation Q, so S holds everything but the orientation in space.

    Args:
        lattice: (B, 3, 3) in angstrom.

    Returns:
        (B, 6).
    """
    with full_precision(lattice):
        values, vectors = torch.linalg.eigh(lattice @ lattice.transpose(-1, -2))
        s = (vectors * (0.5 * values.clamp_min(1e-8).log()).unsqueeze(-2)) @ vectors.transpose(-1, -2)
    return torch.stack(
        [s[:, 0, 0], s[:, 1, 1], s[:, 2, 2], _ROOT2 * s[:, 1, 2], _ROOT2 * s[:, 0, 2], _ROOT2 * s[:, 0, 1]], dim=-1
    )


def lattice_from_log(vector: Tensor) -> Tensor:
    """Symmetric cell exp(S): the inverse of `log_lattice` up to a rotation. Differentiable.

    Args:
        vector: (B, 6).

    Returns:
        (B, 3, 3) in angstrom.
    """
    a, b, c = vector[:, 0], vector[:, 1], vector[:, 2]
    yz, xz, xy = vector[:, 3] / _ROOT2, vector[:, 4] / _ROOT2, vector[:, 5] / _ROOT2
    s = torch.stack([a, xy, xz, xy, b, yz, xz, yz, c], dim=-1).view(-1, 3, 3)
    with full_precision(s):
        return torch.linalg.matrix_exp(s)


@dataclass
class LatticeBase:
    """The informative base of the lattice: a Gaussian around an isotropic-on-average cell of the predicted volume.

    `volumes` (101,) angstrom^3 by atomic number; `mean`, `std` (6,) of S - log(V)/3 on the diagonal over the
    training set.
    """

    volumes: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, crystals: list[Crystal]) -> LatticeBase:
        """Fit volumes and the spread of cell shapes.

        Args:
            crystals: Niggli-reduced training structures.

        Returns:
            The base.
        """
        volumes = torch.tensor(fit_atomic_volumes([c.atomic_numbers for c in crystals], [c.volume for c in crystals]))
        lattice = torch.tensor(np.stack([c.lattice for c in crystals]))
        predicted = torch.stack([volumes[torch.as_tensor(c.atomic_numbers)].sum() for c in crystals])
        shape = log_lattice(lattice)
        shape[:, :3] -= predicted.log().unsqueeze(-1) / 3
        return cls(volumes.float(), shape.mean(0).float(), shape.std(0, correction=0).clamp_min(0.02).float())

    def center(self, atomic_numbers: Tensor) -> Tensor:
        """Mean log-lattice of compositions.

        Args:
            atomic_numbers: (B, N), 0 is padding.

        Returns:
            (B, 6).
        """
        volume = (self.volumes.to(atomic_numbers.device)[atomic_numbers] * (atomic_numbers > 0)).sum(1)
        center = self.mean.to(volume).expand(len(volume), 6).clone()
        center[:, :3] += volume.log().unsqueeze(-1) / 3
        return center

    def to_normal(self, lattice: Tensor, atomic_numbers: Tensor) -> Tensor:
        """From lattices to the coordinates in which the base is a unit Gaussian.

        Args:
            lattice: (B, 3, 3) in angstrom.
            atomic_numbers: (B, N), 0 is padding.

        Returns:
            (B, 6).
        """
        return (log_lattice(lattice) - self.center(atomic_numbers).to(lattice)) / self.std.to(lattice)

    def to_lattice(self, z: Tensor, atomic_numbers: Tensor) -> Tensor:
        """Back from the standardised coordinates.

        Args:
            z: (B, 6).
            atomic_numbers: (B, N), 0 is padding.

        Returns:
            Symmetric cell matrices, (B, 3, 3) in angstrom.
        """
        return lattice_from_log(z * self.std.to(z) + self.center(atomic_numbers).to(z))

    def state(self) -> dict[str, list[float]]:
        """JSON form for a checkpoint's config."""
        return {"volumes": self.volumes.tolist(), "mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_state(cls, state: dict[str, list[float]]) -> LatticeBase:
        """Back from `state`.

        Args:
            state: Volumes, mean and spread as lists.

        Returns:
            The base.

        Raises:
            ValueError: A size is wrong.
        """
        volumes, mean, std = (torch.tensor(state[name], dtype=torch.float32) for name in ("volumes", "mean", "std"))
        if (volumes.shape, mean.shape, std.shape) != ((101,), (6,), (6,)):
            raise ValueError(f"lattice base of shapes {tuple(volumes.shape)}, {tuple(mean.shape)}, {tuple(std.shape)}")
        return cls(volumes, mean, std)
