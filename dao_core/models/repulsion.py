"""Screened repulsion of nuclei in contact: what no training set teaches, because nothing stays there.

Source: Ziegler, Biersack and Littmark, The Stopping and Range of Ions in Matter (1985), the universal potential.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dao_core.units import BOHR, COULOMB

_TERMS = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
_REACH = 0.7  # of the sum of covalent radii: shorter than any bond in a crystal


class NuclearRepulsion(nn.Module):
    """Energy of each atom from neighbours closer than any bond, in units of the energy head (a learned factor)."""

    radii: Tensor

    def __init__(self) -> None:
        super().__init__()
        from ase.data import covalent_radii

        radii = torch.tensor(covalent_radii[:101], dtype=torch.float32)
        self.register_buffer("radii", radii, persistent=False)
        self.log_unit = nn.Parameter(torch.tensor(0.6))  # residual energies have a spread near 0.55 eV/atom

    def forward(self, index: Tensor, distance: Tensor, atomic_numbers: Tensor) -> Tensor:
        """Half of the pair energies at each atom.

        Args:
            index: Structure, i and j of each edge, (3, E).
            distance: Its length in angstrom, (E,).
            atomic_numbers: (B, N), 0 is padding.

        Returns:
            (B, N); zero, with zero slope and curvature, where nothing is closer than 0.7 of the covalent radii.
        """
        structure, i, j = index
        z = atomic_numbers.clamp(max=100)
        reach = _REACH * (self.radii[z[structure, i]] + self.radii[z[structure, j]]).to(distance.dtype)
        near = (distance < reach).nonzero().squeeze(1)
        structure, i, j, d = structure[near], i[near], j[near], distance[near]
        first, second = z[structure, i].to(d.dtype), z[structure, j].to(d.dtype)
        x = d * (first**0.23 + second**0.23) / (0.8854 * BOHR)
        screening = torch.stack([a * torch.exp(-b * x) for a, b in _TERMS]).sum(0)
        u = d / reach[near]
        envelope = 1 - 10 * u**3 + 15 * u**4 - 6 * u**5
        energy = 0.5 * COULOMB * first * second / d * screening * envelope * self.log_unit.exp()
        out = distance.new_zeros(atomic_numbers.shape[0] * atomic_numbers.shape[1])
        return out.index_add(0, structure * atomic_numbers.shape[1] + i, energy).view(atomic_numbers.shape)
