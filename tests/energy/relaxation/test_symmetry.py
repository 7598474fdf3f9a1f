from __future__ import annotations

import numpy as np

from dao_core.energy.potential import PotentialResult
from dao_core.energy.relaxation.symmetry import find_operations, symmetrized
from tests.helpers.hexagonal import hexagonal
from tests.helpers.potentials import copper


def test_operations_permute_equal_atoms() -> None:
    crystal = hexagonal()
    operations = find_operations(crystal)
    assert operations.spacegroup_number == 186
    assert len(operations.rotations) == 12
    for permutation in operations.permutations:
        assert sorted(permutation.tolist()) == [0, 1, 2, 3]
        np.testing.assert_array_equal(crystal.atomic_numbers[permutation], crystal.atomic_numbers)


def test_symmetrized_forces_lie_on_the_axis_and_are_a_projection() -> None:
    crystal, rng = hexagonal(), np.random.default_rng(0)
    operations = find_operations(crystal)
    noisy = PotentialResult(0.0, rng.normal(size=(4, 3)), rng.normal(size=(3, 3)))
    once = symmetrized(noisy, operations, crystal.lattice)
    np.testing.assert_allclose(once.forces[:, :2], 0.0, atol=1e-12)
    np.testing.assert_allclose(once.forces[0], once.forces[1], atol=1e-12)
    assert abs(once.forces[0, 2]) > 1e-3
    np.testing.assert_allclose(once.stress, np.diag(np.diag(once.stress)), atol=1e-12)
    np.testing.assert_allclose(once.stress[0, 0], once.stress[1, 1], atol=1e-12)
    twice = symmetrized(once, operations, crystal.lattice)
    np.testing.assert_allclose(twice.forces, once.forces, atol=1e-12)


def test_forces_of_a_symmetric_crystal_do_not_change() -> None:
    from tests.helpers.potentials import lennard_jones

    crystal = hexagonal()
    result = lennard_jones().compute([crystal])[0]
    assert isinstance(result, PotentialResult)
    same = symmetrized(result, find_operations(crystal), crystal.lattice)
    np.testing.assert_allclose(same.forces, result.forces, atol=1e-9)
    np.testing.assert_allclose(same.stress, result.stress, atol=1e-9)


def test_a_crystal_without_symmetry_has_the_identity() -> None:
    operations = find_operations(copper(shift=0.3))
    assert len(operations.rotations) == 1
    np.testing.assert_array_equal(operations.permutations, [[0, 1, 2, 3]])
