"""Symmetry helpers: count, clean, break."""

from __future__ import annotations

import numpy as np

from dao_core.crystal import Crystal
from dao_core.dft.symmetry import n_symmetries, rattled, symmetrised


def test_diamond_has_48(si: Crystal) -> None:
    assert n_symmetries(si) == 48
    assert n_symmetries(rattled(si)) < 48


def test_noise_is_cleaned_and_the_number_of_atoms_kept(si: Crystal) -> None:
    noisy = si.replace(frac_coords=si.frac_coords + np.array([[0, 0, 0], [1e-3, -5e-4, 2e-4]]))
    clean = symmetrised(noisy)
    assert clean is not None
    assert clean.n_atoms == 2
    assert n_symmetries(clean) == 48
    assert abs(clean.volume / si.volume - 1) < 1e-3


def test_primitive_cell_of_a_supercell(si: Crystal) -> None:
    double = Crystal.from_ase(si.to_ase().repeat((2, 1, 1)))
    small = symmetrised(double, primitive=True)
    assert small is not None
    assert small.n_atoms == 2
    assert symmetrised(double) is None  # four atoms are neither the primitive nor the conventional cell


def test_rattle_is_small_and_repeatable(si: Crystal) -> None:
    a, b = rattled(si), rattled(si)
    assert np.array_equal(a.frac_coords, b.frac_coords)
    shift = a.frac_coords - si.frac_coords
    moves = (shift - np.round(shift)) @ si.lattice
    assert 0 < np.abs(moves).max() < 0.06
