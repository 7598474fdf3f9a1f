"""The CGCNN baseline: neighbours against pymatgen, and what a number of a crystal must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dao_core.crystal import Crystal
from dao_core.studies.properties.cgcnn import NEIGHBORS, RADIUS, Cgcnn, Graphs, predict_all
from dao_core.training.packed import PackedCrystals
from tests.helpers.networks import random_crystals


@pytest.fixture
def network() -> Cgcnn:
    torch.manual_seed(0)
    return Cgcnn().eval()


def predicted(network: Cgcnn, crystals: list[Crystal]) -> np.ndarray:
    data = PackedCrystals.from_crystals(crystals)
    return predict_all(network, data, Graphs.build(data))


def test_neighbours_are_pymatgens_nearest() -> None:
    crystals = random_crystals(1, (2, 5, 3))
    data = PackedCrystals.from_crystals(crystals)
    graphs = Graphs.build(data, chunk_pairs=30)
    for row, crystal in enumerate(crystals):
        structure = crystal.to_pymatgen()
        for site, atom in enumerate(range(data.pointer[row], data.pointer[row + 1])):
            near = sorted(n.nn_distance for n in structure.get_neighbors(structure[site], RADIUS))[:NEIGHBORS]
            have = graphs.distance[atom][graphs.distance[atom] < RADIUS]
            np.testing.assert_allclose(have, near[: len(have)], atol=1e-3)
            assert len(have) == len(near)


def test_a_structure_gives_the_same_number_alone_moved_permuted_and_doubled(network: Cgcnn) -> None:
    crystal = random_crystals(2, (4,))[0]
    order = np.array([2, 0, 3, 1])
    moved = Crystal(crystal.lattice, (crystal.frac_coords + 0.31) % 1.0, crystal.atomic_numbers)
    permuted = Crystal(crystal.lattice, crystal.frac_coords[order], crystal.atomic_numbers[order])
    doubled = Crystal.from_pymatgen(crystal.to_pymatgen().make_supercell([2, 1, 1], in_place=False))
    alone = predicted(network, [crystal])
    together = predicted(network, [*random_crystals(3, (6, 2)), crystal, moved, permuted, doubled])
    np.testing.assert_allclose(together[2:], np.repeat(alone, 4), atol=1e-4)
    assert abs(together[0] - alone[0]) > 1e-3  # and not the same for all


def test_predicting_leaves_the_mode_of_the_network(network: Cgcnn) -> None:
    network.train()
    predicted(network, random_crystals(0, (2,)))
    assert network.training
