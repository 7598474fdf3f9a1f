"""The primitive cell that a crystal has in common with all its supercells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dao_core.crystal import Crystal
from dao_core.matching.reduction import niggli_cell, reduced_primitive
from tests.helpers.structures import cesium_chloride, perovskite, peroxide, reset, rocksalt, rutile, zincblende

MADE = [rocksalt(), cesium_chloride(), zincblende(), perovskite(), rutile(), peroxide()]
PRIMITIVE = [2, 2, 2, 5, 6, 4]


@pytest.mark.parametrize(("crystal", "n"), list(zip(MADE, PRIMITIVE, strict=True)), ids=[c.chemsys for c in MADE])
def test_known_primitive_cells(crystal: Crystal, n: int) -> None:
    import spglib

    cell = reduced_primitive(crystal)
    assert len(cell.numbers) == n
    found = spglib.find_primitive((crystal.lattice, crystal.frac_coords, crystal.atomic_numbers))
    assert len(found[2]) == n
    assert abs(np.linalg.det(cell.matrix)) == pytest.approx(crystal.volume * n / crystal.n_atoms)


@given(st.sampled_from(range(len(MADE))), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_every_supercell_has_the_primitive_cell(which: int, seed: int) -> None:
    crystal = MADE[which]
    rng = np.random.default_rng(seed)
    while True:
        matrix = rng.integers(-2, 3, size=(3, 3))
        if 1 <= abs(round(np.linalg.det(matrix))) <= 4:
            break
    supercell = reset(Crystal.from_pymatgen(crystal.to_pymatgen().make_supercell(matrix, in_place=False)), seed)
    cell, expected = reduced_primitive(supercell), reduced_primitive(crystal)
    assert len(cell.numbers) == len(expected.numbers)
    lengths = [np.sort(np.linalg.norm(c.matrix, axis=1)) for c in (cell, expected)]
    np.testing.assert_allclose(*lengths, rtol=1e-6)


def test_noise_below_the_tolerance_is_averaged_and_above_it_kept() -> None:
    double = Crystal.from_pymatgen(rocksalt().to_pymatgen() * [2, 1, 1])
    moves = np.zeros((double.n_atoms, 3))
    moves[0, 2] = 0.05
    slightly = double.replace(frac_coords=double.frac_coords + moves @ np.linalg.inv(double.lattice))
    assert len(reduced_primitive(slightly).numbers) == 2
    far = double.replace(frac_coords=double.frac_coords + 12 * moves @ np.linalg.inv(double.lattice))
    assert len(reduced_primitive(far).numbers) == double.n_atoms


def test_the_niggli_cell_is_right_handed_and_holds_the_same_crystal() -> None:
    left = perovskite().replace(lattice=perovskite().lattice[[1, 0, 2]])
    cell = niggli_cell(left.lattice, left.frac_coords, left.atomic_numbers)
    assert np.linalg.det(cell.matrix) > 0
    difference = cell.frac @ cell.matrix - left.cart_coords
    in_cells = difference @ np.linalg.inv(left.lattice)
    np.testing.assert_allclose(in_cells, np.rint(in_cells), atol=1e-9)
