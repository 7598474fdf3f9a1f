"""Reference structures of the elements."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.dft.element_references import BOX_VACUUM, element_reference
from tests.helpers.fake_pw import silicon


@pytest.mark.parametrize(("element", "atoms"), [("Si", 2), ("Mg", 2), ("Na", 1), ("Ti", 2), ("Fe", 1), ("Sr", 1)])
def test_solids(element: str, atoms: int) -> None:
    reference = element_reference(element)
    assert reference is not None
    assert (reference.crystal.n_atoms, reference.molecule) == (atoms, False)


@pytest.mark.parametrize("element", ["H", "N", "O", "F", "Cl"])
def test_molecules_are_far_from_their_images(element: str) -> None:
    reference = element_reference(element)
    assert reference is not None
    assert reference.molecule
    bond = np.linalg.norm(reference.crystal.cart_coords[1] - reference.crystal.cart_coords[0])
    assert (np.diag(reference.crystal.lattice) - [0, 0, bond] >= BOX_VACUUM - 1e-9).all()
    assert len(set(np.diag(reference.crystal.lattice))) == 3


def test_given_structures_win_and_unknown_ones_are_none() -> None:
    given = element_reference("Mn", {"Mn": silicon()})
    assert given is not None
    assert given.crystal.n_atoms == 2
    assert element_reference("Mn") is None
    assert element_reference("Ga") is None
