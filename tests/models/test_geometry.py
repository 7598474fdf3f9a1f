"""Periodic geometry against pymatgen's neighbour lists, and its smoothness."""

from __future__ import annotations

import numpy as np
import torch

from dao_core.crystal import Crystal, CrystalBatch
from dao_core.models.geometry import (
    edge_distances,
    fourier_features,
    neighbor_edges,
    radial_pair_features,
    wrap_centered,
)
from tests.helpers.networks import random_crystals


def test_neighbor_distances_equal_pymatgen() -> None:
    crystals = random_crystals(3, (1, 4, 7))
    batch = CrystalBatch.from_crystals(crystals, dtype=torch.float64)
    index, shift = neighbor_edges(batch.lattice, batch.frac_coords, batch.mask, 5.0)
    distances = edge_distances(batch.lattice, batch.frac_coords, index, shift).numpy()
    for b, crystal in enumerate(crystals):
        _, _, _, expected = crystal.to_pymatgen().get_neighbor_list(5.0)
        np.testing.assert_allclose(np.sort(distances[index[0].numpy() == b]), np.sort(expected), atol=1e-8)


def test_no_neighbor_is_missing_in_a_flat_cell_and_its_batch() -> None:
    """Two phases of H2 whose reduced cells are flat along other axes, beside an ordinary crystal."""
    lattice = np.array([[0.0, 0.97, 0.0], [3.1, 0.1, 0.3], [0.2, 0.2, 3.3]])
    flat = Crystal(lattice, [[0, 0, 0], [0.4, 0.5, 0.5]], np.array([1, 1]))
    other = flat.replace(lattice=lattice[[1, 2, 0]], frac_coords=flat.frac_coords[:, [1, 2, 0]])
    small = Crystal(np.eye(3) * 1.25, [[0, 0, 0]], np.array([1]))
    crystals = [flat, *random_crystals(3, (2,)), other, small]
    batch = CrystalBatch.from_crystals(crystals, dtype=torch.float64)
    index, shift = neighbor_edges(batch.lattice, batch.frac_coords, batch.mask, 6.0)
    distances = edge_distances(batch.lattice, batch.frac_coords, index, shift).numpy()
    for b, crystal in enumerate(crystals):
        expected = crystal.to_pymatgen().get_neighbor_list(6.0)[3]
        np.testing.assert_allclose(np.sort(distances[index[0].numpy() == b]), np.sort(expected), atol=1e-8)


def test_radial_features_do_not_jump_when_an_atom_crosses_the_cell_boundary() -> None:
    lattice = np.diag([3.0, 4.0, 5.0])
    features = []
    for x in (0.5 - 1e-7, 0.5 + 1e-7):  # the folded offset changes sign here
        crystal = Crystal(lattice, [[0, 0, 0], [x, 0.2, 0.3]], np.array([11, 17]))
        b = CrystalBatch.from_crystals([crystal], dtype=torch.float64)
        features.append(radial_pair_features(b.lattice, b.frac_coords, b.mask, 8, 5.0))
    torch.testing.assert_close(features[0], features[1], atol=1e-5, rtol=0)


def test_fourier_features_are_periodic() -> None:
    x = torch.rand(4, 3, dtype=torch.float64)
    torch.testing.assert_close(fourier_features(x, 5), fourier_features(x + 3, 5))


def test_wrap_centered_keeps_the_point_modulo_one() -> None:
    x = torch.tensor([-1.3, -0.5, 0.49, 0.5, 7.2], dtype=torch.float64)
    folded = wrap_centered(x)
    assert ((folded >= -0.5) & (folded < 0.5)).all()
    torch.testing.assert_close((x - folded).round(), x - folded)
