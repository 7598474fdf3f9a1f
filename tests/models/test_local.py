"""The local network: energies do not depend on the cell choice and forces follow the symmetry of the crystal."""

from __future__ import annotations

import numpy as np
import torch

from dao_core.crystal import Crystal, CrystalBatch
from dao_core.models.config import LocalConfig
from dao_core.models.local import LocalNet
from tests.helpers.networks import random_crystals


def network() -> LocalNet:
    torch.manual_seed(0)
    return LocalNet(LocalConfig(width=16, n_blocks=2, n_radial=6, cutoff=4.0, time_dim=8, n_energies=2)).double()


def energy(crystals: list[Crystal]) -> torch.Tensor:
    batch = CrystalBatch.from_crystals(crystals, dtype=torch.float64)
    ones = torch.ones(len(crystals), dtype=torch.float64)
    return network()(batch.lattice, batch.frac_coords, batch.atomic_numbers, ones).energies


def test_supercells_and_other_cells_have_the_same_energy_per_atom() -> None:
    crystal = random_crystals(3, (3,))[0]
    structure = crystal.to_pymatgen()
    other = structure.copy()
    other.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 1]])  # same volume, other cell
    double = structure.copy()
    double.make_supercell([2, 1, 1])
    cells = [crystal, Crystal.from_pymatgen(other), Crystal.from_pymatgen(double)]
    energies = energy(cells)
    torch.testing.assert_close(energies[1], energies[0])
    torch.testing.assert_close(energies[2], energies[0])


def test_forces_vanish_where_symmetry_demands_it() -> None:
    a = 5.6
    rocksalt = Crystal(
        np.array([[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]]),
        [[0, 0, 0], [0.5, 0.5, 0.5]],
        np.array([11, 17]),
    )
    batch = CrystalBatch.from_crystals([rocksalt], dtype=torch.float64)
    frac = batch.frac_coords.clone().requires_grad_(True)
    out = network()(batch.lattice, frac, batch.atomic_numbers, torch.ones(1, dtype=torch.float64))
    assert torch.autograd.grad(out.energies.sum(), frac)[0].abs().max() < 1e-10


def test_angles_matter() -> None:
    """Two arrangements with the same pair distances around the centre and different angles differ in energy."""
    lattice = np.eye(3) * 12.0
    straight = Crystal(lattice, np.array([[6, 6, 6], [7.5, 6, 6], [4.5, 6, 6]]) / 12, np.array([8, 1, 1]))
    bent = Crystal(lattice, np.array([[6, 6, 6], [7.5, 6, 6], [6, 7.5, 6]]) / 12, np.array([8, 1, 1]))
    energies = energy([straight, bent])
    assert (energies[0] - energies[1]).abs().max() > 1e-6
