"""Labels of known structures, their invariance, and spglib as a second opinion."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.generate.symmetry.labels import (
    Label,
    StandardCell,
    SymmetryLabelError,
    canonical_letters,
    label_of,
    ordered_elements,
    standard_cell,
)
from tests.helpers.structures import perovskite, reset, rocksalt, rutile
from tests.helpers.symmetric import labels, random_structure


@pytest.mark.parametrize(
    ("crystal", "expected"),
    [
        (perovskite(), Label(221, (38, 22, 8), ("a", "b", "c"))),
        (rocksalt(), Label(225, (11, 17), ("a", "b"))),
        (rutile(), Label(136, (22, 8), ("a", "f"))),
    ],
)
def test_known_structures(crystal: Crystal, expected: Label) -> None:
    assert label_of(standard_cell(crystal)) == expected


@pytest.mark.parametrize("label", labels(), ids=str)
def test_a_structure_made_from_a_label_has_it_in_any_setting(label: Label) -> None:
    crystal = random_structure(label)
    found = {str(label_of(standard_cell(reset(crystal, seed)), label.elements)) for seed in range(4)}
    assert len(found) == 1
    if label.spacegroup_number > 15:  # triclinic and monoclinic letters also depend on which cell is reduced
        assert found == {str(label)}


@pytest.mark.parametrize("label", [x for x in labels() if x.spacegroup_number > 15], ids=str)
def test_spglib_gives_equivalent_letters(label: Label) -> None:
    import spglib

    crystal = reset(random_structure(label), 7)
    found = spglib.get_symmetry_dataset((crystal.lattice, crystal.frac_coords, crystal.atomic_numbers), symprec=0.01)
    assert found.number == label.spacegroup_number
    first = np.unique(found.crystallographic_orbits)
    letters = tuple("".join(found.wyckoffs[i] for i in first if crystal.atomic_numbers[i] == z) for z in label.elements)
    assert canonical_letters(found.number, letters) == label.letters


def test_equivalent_letters_become_the_same() -> None:
    assert canonical_letters(221, ("b", "a", "d")) == canonical_letters(221, ("a", "b", "c")) == ("a", "b", "c")
    assert canonical_letters(221, ("a", "b", "d")) != ("a", "b", "c")


def test_elements_stand_by_electronegativity_whatever_their_order() -> None:
    assert ordered_elements([8, 22, 38, 8]) == ordered_elements([38, 8, 22]) == (38, 22, 8)


def test_counts_are_those_of_the_primitive_cell() -> None:
    assert Label(225, (20, 9), ("a", "c")).counts == (1, 2)


def test_atoms_that_form_no_whole_orbit_are_refused() -> None:
    cell = StandardCell(221, 4 * np.eye(3), np.zeros((2, 3)), np.array([8, 8]), ("c", "c"))
    with pytest.raises(SymmetryLabelError, match="2 atoms on c are no whole orbits"):
        label_of(cell)
