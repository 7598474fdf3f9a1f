"""Sites of space groups: orbits as the International Tables list them, and projections onto the symmetric part."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.generate.symmetry.wyckoff_sites import (
    SitePlan,
    SitesError,
    averaged_lattice,
    kept_sites,
    operations,
    plan_sites,
    random_sites,
)
from tests.helpers.structures import cesium_chloride, perovskite, reset, rocksalt, rutile, shaken


@pytest.mark.parametrize(
    ("number", "orbits"),
    [
        (1, {1}),
        (2, {1, 2}),
        (14, {2, 4}),
        (19, {4}),  # screws only: no special positions at all
        (221, {1, 3, 6, 8, 12, 24, 48}),
        (227, {2, 4, 8, 12, 24, 48}),
        (166, {1, 2, 3, 6, 12}),
    ],
)
def test_orbit_sizes_are_those_of_the_tables(number: int, orbits: set[int]) -> None:
    """Multiplicities of the International Tables, divided by the lattice points of the conventional cell."""
    _, sizes = random_sites(number, np.random.default_rng(0), 2000)
    found = set(sizes.tolist())
    assert found <= orbits
    assert max(orbits) in found
    assert min(orbits) in found


@pytest.mark.parametrize("number", [2, 15, 62, 136, 152, 166, 194, 205, 216, 225, 230])
def test_a_plan_is_a_symmetric_structure(number: int) -> None:
    rng = np.random.default_rng(number)
    size = len(operations(number)[0])
    plan = plan_sites(number, np.repeat([8, 14], size), rng)
    assert plan.n_atoms == 2 * size
    np.testing.assert_allclose(plan.exact(plan.start), plan.start, atol=1e-9)
    velocity = rng.normal(size=(plan.n_atoms, 3))
    symmetric = plan.symmetric_velocity(velocity)
    np.testing.assert_allclose(plan.symmetric_velocity(symmetric), symmetric, atol=1e-12)  # a projection
    moved = plan.start + 0.1 * symmetric
    away = plan.exact(moved) - moved
    assert np.abs(away - np.round(away)).max() < 1e-9  # a symmetric velocity keeps the symmetry


def test_a_symmetric_metric_is_left_alone_and_any_other_becomes_one() -> None:
    rotations, _ = operations(221)
    cell = averaged_lattice(np.array([[4.0, 0.3, 0.0], [0.0, 4.4, 0.1], [0.0, 0.2, 3.7]]), rotations)
    metric = cell @ cell.T
    np.testing.assert_allclose(metric, metric[0, 0] * np.eye(3), atol=1e-9)
    np.testing.assert_allclose(averaged_lattice(cell, rotations), cell, atol=1e-9)


def test_counts_that_no_sites_hold_are_refused_with_the_sizes() -> None:
    with pytest.raises(SitesError, match="space group 19 hold O2 in its primitive cell: orbits there have 4 atoms"):
        plan_sites(19, np.array([8, 8]), np.random.default_rng(0))


def _idealised(plan: SitePlan, crystal: Crystal) -> Crystal:
    lattice = averaged_lattice(crystal.lattice, plan.rotations)
    return crystal.replace(lattice=lattice, frac_coords=plan.exact(crystal.frac_coords))


@pytest.mark.parametrize("crystal", [rocksalt(), cesium_chloride(), rutile(), perovskite()])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_shaken_structure_s_own_sites_are_those_it_had(crystal: Crystal, seed: int) -> None:
    import spglib

    wanted = spglib.get_spacegroup((crystal.lattice, crystal.frac_coords, crystal.atomic_numbers), symprec=1e-4)
    noisy = reset(shaken(crystal, seed, 0.003, 0.003), seed)  # another cell, other order of atoms
    plan = kept_sites(noisy, 0.2)
    assert plan is not None
    exact = _idealised(plan, noisy)
    assert spglib.get_spacegroup((exact.lattice, exact.frac_coords, exact.atomic_numbers), symprec=1e-4) == wanted
    away = exact.frac_coords - noisy.frac_coords
    assert np.linalg.norm((away - np.round(away)) @ noisy.lattice, axis=1).max() < 0.1


def test_no_symmetry_means_no_plan() -> None:
    rng = np.random.default_rng(0)
    assert (
        kept_sites(Crystal(np.eye(3) * 5 + rng.random((3, 3)), rng.random((4, 3)), np.array([6, 7, 8, 9])), 0.01)
        is None
    )
