"""The local network: energies do not depend on the cell choice and forces follow the symmetry of the crystal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dao_core.crystal import Crystal, CrystalBatch
from dao_core.models.build import build_network, grown
from dao_core.models.config import LocalAdditions, LocalConfig
from dao_core.models.local import LocalNet
from dao_core.models.repulsion import NuclearRepulsion
from tests.helpers.networks import TINY, random_crystals
from tests.helpers.structures import rocksalt


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


def second_version(**changes: object) -> LocalNet:
    torch.manual_seed(0)
    config = LocalConfig(width=16, n_blocks=2, n_radial=8, time_dim=8, cutoff=4.0, n_energies=2)
    larger = LocalNet(config.model_copy(update=changes))
    for p in larger.parameters():  # additions start at zero
        if not p.any():
            torch.nn.init.normal_(p, std=0.3)
    return larger.double()


def test_additions_leave_a_trained_network_as_it_was() -> None:
    torch.manual_seed(0)
    config = LocalConfig(width=16, n_blocks=2, n_radial=8, time_dim=8, cutoff=4.0, n_energies=2)
    first = LocalNet(config).double()
    larger = grown(first, LocalAdditions(tensor_width=4, references=True)).double()
    batch = CrystalBatch.from_crystals(random_crystals(3, (3, 5)), dtype=torch.float64)
    ones = torch.ones(2, dtype=torch.float64)
    given = (batch.lattice, batch.frac_coords, batch.atomic_numbers, ones)
    torch.testing.assert_close(larger(*given).energies, first(*given).energies)


def test_tensors_turn_with_the_crystal_and_see_more_than_vectors() -> None:
    network = second_version(tensor_width=4)
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))[0]
    batch = CrystalBatch.from_crystals(random_crystals(3, (3, 5)), dtype=torch.float64)
    ones = torch.ones(2, dtype=torch.float64)
    before = network(batch.lattice, batch.frac_coords, batch.atomic_numbers, ones)
    after = network(batch.lattice @ rotation, batch.frac_coords, batch.atomic_numbers, ones)
    torch.testing.assert_close(after.energies, before.energies)
    torch.testing.assert_close(after.coords, before.coords)
    # around the middle atom directions sum to zero both ways: only the squares of directions tell line from square
    lattice = np.eye(3) * 12.0
    line = [[6, 6, 6], [7.5, 6, 6], [4.5, 6, 6], [8.5, 6, 6], [3.5, 6, 6]]
    square = [[6, 6, 6], [7.5, 6, 6], [4.5, 6, 6], [6, 8.5, 6], [6, 3.5, 6]]
    one_block = second_version(tensor_width=4, n_blocks=1)
    middle = []
    for places in (line, square):
        crystal = Crystal(lattice, np.array(places) / 12, np.array([8, 1, 1, 1, 1]))
        b = CrystalBatch.from_crystals([crystal], dtype=torch.float64)
        middle.append(one_block(b.lattice, b.frac_coords, b.atomic_numbers, ones[:1]).atoms[0, 0])
    assert (middle[0] - middle[1]).abs().max() > 1e-6


def test_the_energy_is_smooth_around_symmetric_crystals() -> None:
    """Curvatures from small and from larger displacements agree; with a cusp they don't."""
    salt, ratios = rocksalt(), {}
    for softening in (0.1, 1e-4):
        network, curvatures = second_version(tensor_width=4, softening=softening), []
        for step in (1e-3, 0.1):
            away = np.array([[step, 0, 0], [0, 0, 0]]) @ np.linalg.inv(salt.lattice)
            moved = [salt.replace(frac_coords=salt.frac_coords + k * away) for k in (-1, 0, 1)]
            batch = CrystalBatch.from_crystals(moved, dtype=torch.float64)
            ones = torch.ones(3, dtype=torch.float64)
            below, at, above = network(batch.lattice, batch.frac_coords, batch.atomic_numbers, ones).energies[:, 0]
            curvatures.append(float((below - 2 * at + above).detach()) / step**2)
        ratios[softening] = curvatures[0] / curvatures[1]
    assert ratios[0.1] == pytest.approx(1.0, abs=0.02)
    assert ratios[1e-4] < 0.7


def test_nuclei_in_contact_repel_and_bonded_ones_feel_nothing() -> None:
    numbers = torch.tensor([[14, 8]])
    index = torch.tensor([[0, 0], [0, 0], [1, 1]])
    distances = torch.tensor([0.6, 1.7], dtype=torch.float64).requires_grad_(True)
    energy = NuclearRepulsion()(index[:, :1], distances[:1], numbers).sum()
    assert energy > 10.0
    assert torch.autograd.grad(energy, distances)[0][0] < -10.0
    assert float(NuclearRepulsion()(index[:, 1:], distances[1:].detach(), numbers).sum().detach()) == 0.0


def test_what_cannot_grow_is_refused() -> None:
    with pytest.raises(TypeError, match="a Crysformer cannot grow"):
        grown(build_network(TINY), LocalAdditions())
    with pytest.raises(ValueError, match="already has coarse"):
        grown(second_version(tensor_width=4), LocalAdditions(references=True))
    with pytest.raises(ValueError, match="in another size"):
        grown(second_version(tensor_width=4), LocalAdditions(tensor_width=8))
