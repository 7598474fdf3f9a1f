"""Exact keys: one for every description of a crystal, another for every other crystal."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.matching.structure_key import keys_of
from tests.helpers.records import caesium_chloride, perovskite, rocksalt


def key(crystal: Crystal) -> str:
    return keys_of(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers).structure_key


def supercell(crystal: Crystal, m: np.ndarray) -> Crystal:
    pymatgen = crystal.to_pymatgen()
    pymatgen.make_supercell(m)
    return Crystal.from_pymatgen(pymatgen)


def test_what_a_key_says() -> None:
    keys = keys_of(*_arrays(perovskite()))
    assert keys.spacegroup_number == 221
    assert keys.structure_key.startswith("SrTiO3|5|221|")
    assert keys.prototype_key == keys_of(*_arrays(perovskite("K", "Mg", "F", 4.0))).prototype_key
    assert keys.prototype_key != keys_of(*_arrays(rocksalt())).prototype_key


def _arrays(crystal: Crystal) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return crystal.lattice, crystal.frac_coords, crystal.atomic_numbers


@pytest.mark.parametrize("crystal", [rocksalt(), perovskite(), caesium_chloride()])
def test_origin_cell_order_and_supercell_do_not_matter(crystal: Crystal) -> None:
    rng = np.random.default_rng(0)
    shifted = crystal.replace(frac_coords=crystal.frac_coords + rng.random(3))
    order = rng.permutation(crystal.n_atoms)
    shuffled = crystal.replace(frac_coords=crystal.frac_coords[order], atomic_numbers=crystal.atomic_numbers[order])
    bigger = supercell(crystal, np.array([[2, 0, 0], [0, 1, 0], [1, 0, 1]]))
    for other in (shifted, shuffled, bigger):
        assert key(other) == key(crystal)


def test_origin_on_the_other_atom_is_the_same_crystal() -> None:
    salt = rocksalt()
    moved = salt.replace(frac_coords=salt.frac_coords + 0.5)
    assert key(salt) == key(moved)
    assert key(salt) != key(rocksalt("Cl", "K", 6.3))


def test_polymorphs_and_formulas_differ() -> None:
    assert key(rocksalt()) != key(caesium_chloride())
    assert key(perovskite()) != key(perovskite("Ti", "Sr"))


def test_mirror_images_share_a_key() -> None:
    """Quartz-like SiO2 in P3_121 and P3_221."""
    from pymatgen.core import Lattice, Structure

    lattice = Lattice.hexagonal(4.91, 5.40)
    structure = Structure.from_spacegroup(
        "P3_221", lattice, ["Si", "O"], [[0.4697, 0, 0.6667], [0.4133, 0.2672, 0.7855]]
    )
    right = Crystal.from_pymatgen(structure)
    left = right.replace(frac_coords=-right.frac_coords)
    numbers = {keys_of(*_arrays(c)).spacegroup_number for c in (right, left)}
    assert numbers == {152, 154}
    assert key(left) == key(right)


def test_free_axes_of_a_triclinic_cell_do_not_matter() -> None:
    """In P-1 inversion centres trade letters when the axes do."""
    lattice = np.array([[5.0, 0, 0], [0.9, 6.0, 0], [1.1, 0.7, 7.0]])
    frac = [[0, 0, 0], [0.5, 0, 0], [0.21, 0.33, 0.4], [0.79, 0.67, 0.6]]
    crystal = Crystal(lattice, frac, [3, 11, 8, 8])
    step = np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]])
    other = Crystal(step @ lattice, crystal.frac_coords @ np.linalg.inv(step), crystal.atomic_numbers)
    assert keys_of(*_arrays(crystal)).spacegroup_number == 2
    assert key(other) == key(crystal)
