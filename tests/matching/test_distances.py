"""Shortest distances against a search of all images and pymatgen, in cells of any shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dao_core.crystal import Crystal
from dao_core.matching.distances import any_closer_than, closer_than, contact_ratios, distance_matrix, shortest_distance
from tests.helpers.structures import perovskite, rocksalt, shaken


def random_cell(rng: np.random.Generator) -> Crystal:
    """One to four atoms in a cell that may be flat or skewed."""
    while True:
        lattice = rng.normal(0.0, 2.0, (3, 3)) + np.diag([2.0, 3.0, 4.0])
        frac = rng.random((int(rng.integers(1, 5)), 3))
        if 5.0 < abs(np.linalg.det(lattice)) < 500.0:
            return Crystal(lattice, frac, np.full(len(frac), 29))


def every_distance(crystal: Crystal) -> np.ndarray:
    """Distances (N, N) by looking at every image that can be nearer than the longest diagonal allows."""
    heights = 1 / np.linalg.norm(np.linalg.inv(crystal.lattice), axis=0)
    ranges = [
        np.arange(-n, n + 1) for n in np.ceil(np.linalg.norm(crystal.lattice, axis=1).sum() / heights).astype(int)
    ]
    shifts = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3) @ crystal.lattice
    difference = (crystal.frac_coords[None] - crystal.frac_coords[:, None]) @ crystal.lattice
    lengths = np.linalg.norm(difference[:, :, None] + shifts, axis=-1)  # (N, N, images)
    return np.where(lengths < 1e-9, np.inf, lengths).min(axis=-1)


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_agrees_with_looking_everywhere_and_pymatgen(seed: int) -> None:
    crystal = random_cell(np.random.default_rng(seed))
    ours = distance_matrix(crystal.lattice, crystal.frac_coords)
    np.testing.assert_allclose(ours, every_distance(crystal), atol=1e-8)
    structure = crystal.to_pymatgen()
    np.testing.assert_allclose(np.diag(ours), structure.lattice.get_niggli_reduced_lattice().a, atol=1e-8)
    assert shortest_distance(crystal) == ours.min()


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_choice_of_cell_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    crystal = shaken(perovskite(), seed, 0.1)
    skew = np.eye(3)
    for _ in range(4):
        i, j = rng.permutation(3)[:2]
        skew[i] += rng.integers(-3, 4) * skew[j]
    lattice = skew @ crystal.lattice
    moved = Crystal(lattice, crystal.cart_coords @ np.linalg.inv(lattice), crystal.atomic_numbers)
    assert shortest_distance(moved) == pytest.approx(shortest_distance(crystal))


def test_an_atom_meets_its_own_images() -> None:
    assert shortest_distance(Crystal(np.diag([3.0, 4.0, 5.0]), np.zeros((1, 3)), np.array([29]))) == pytest.approx(3.0)
    flat = Crystal(np.diag([0.6, 9.0, 9.0]), np.array([[0, 0, 0], [0, 0.5, 0.5]]), np.array([11, 17]))
    assert shortest_distance(flat) == pytest.approx(0.6)


def test_a_limit_agrees_with_the_full_search() -> None:
    """A thousand random cells with limits around the true distance."""
    rng = np.random.default_rng(0)
    for _ in range(1000):
        crystal = random_cell(rng)
        shortest = shortest_distance(crystal)
        assert closer_than(crystal.lattice, crystal.frac_coords, 1.001 * shortest)
        assert not closer_than(crystal.lattice, crystal.frac_coords, 0.999 * shortest)


def test_many_at_once_as_one_by_one() -> None:
    rng = np.random.default_rng(1)
    crystals = [c for c in (random_cell(rng) for _ in range(400)) if c.n_atoms == 3]
    lattices, frac = np.stack([c.lattice for c in crystals]), np.stack([c.frac_coords for c in crystals])
    expected = [shortest_distance(c) < 1.0 for c in crystals]
    assert 0 < sum(expected) < len(expected)
    assert any_closer_than(lattices, frac, 1.0).tolist() == expected


def test_large_cells_go_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    from dao_core.matching import distances

    crystal = rocksalt()
    whole = distance_matrix(crystal.lattice, crystal.frac_coords)
    monkeypatch.setattr(distances, "_PAIRS_AT_ONCE", 3)
    np.testing.assert_array_equal(distance_matrix(crystal.lattice, crystal.frac_coords), whole)


def test_ratios_of_contacts_are_near_one_where_atoms_touch() -> None:
    salt = rocksalt()
    ratios = contact_ratios(salt.lattice, salt.frac_coords, salt.atomic_numbers)
    assert ratios.shape == (salt.n_atoms, salt.n_atoms)
    assert 0.8 < ratios.min() < 1.2
    double = contact_ratios(2 * salt.lattice, salt.frac_coords, salt.atomic_numbers)
    np.testing.assert_allclose(double, 2 * ratios)
