"""Multiplicities and Wyckoff letters against the atoms that the operations make."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.readers.base import UnreadableError
from dao_core.readers.cif import crystal_from_cif, read_cif
from tests.helpers.cif_text import cif, operations
from tests.helpers.structures import perovskite, rutile

PLACES = ("label", "fract_x", "fract_y", "fract_z")
CUBIC = "_symmetry_space_group_name_H-M 'F m -3 m'"


def salt(k: str, br: str, *columns: str, symmetry: str = CUBIC, place: str = ".5 .5 .5") -> str:
    return cif("6.6 6.6 6.6", [f"K1 0 0 0 {k}", f"Br1 {place} {br}"], symmetry, columns=(*PLACES, *columns))


@pytest.mark.parametrize("name", ["symmetry_multiplicity", "site_symmetry_multiplicity"])
def test_a_multiplicity_that_the_position_does_not_have_is_refused(name: str) -> None:
    assert crystal_from_cif(salt("4", "4", name)).n_atoms == 8
    assert crystal_from_cif(salt("?", "4", name)).n_atoms == 8
    for text in (salt("4", "4", name, place=".25 .25 .25"), salt("8", "4", name), salt("16", "16", name)):
        with pytest.raises(UnreadableError, match="images in the cell, its multiplicity is given as"):
            crystal_from_cif(text)


def test_a_formula_sum_outvotes_a_multiplicity() -> None:
    (block,) = read_cif(salt("16", "16", "symmetry_multiplicity", symmetry=f"{CUBIC}\n_chemical_formula_sum 'Br K'"))
    assert isinstance(block.value, Crystal)
    assert "its multiplicity is given as 16" in block.notes[0]


def test_the_order_of_the_site_symmetry() -> None:
    """Refinement programs of molecular crystals write it under the name of the multiplicity."""
    assert crystal_from_cif(salt("48", "48", "symmetry_multiplicity")).n_atoms == 8
    assert crystal_from_cif(salt("48", "48", "site_symmetry_order")).n_atoms == 8
    with pytest.raises(UnreadableError, match="has order 24, the file says 48"):
        crystal_from_cif(salt("48", "48", "site_symmetry_order", place=".25 .25 .25"))


@pytest.mark.parametrize(("k", "br"), [("a", "b"), ("4a", "4b"), ("b", "a"), (".", "?"), ("a", "(b)")])
def test_letters_of_another_origin_are_taken(k: str, br: str) -> None:
    assert crystal_from_cif(salt(k, br, "Wyckoff_symbol")).n_atoms == 8


def test_a_letter_of_another_multiplicity_is_refused() -> None:
    with pytest.raises(UnreadableError, match="Br1 has 8 positions, its Wyckoff letter b stands for 4"):
        crystal_from_cif(salt("a", "b", "Wyckoff_symbol", place=".25 .25 .25"))


def test_multiplicities_of_the_conventional_cell_fit_the_primitive_one() -> None:
    names = ("symmetry_multiplicity", "Wyckoff_symbol")
    hexagonal = cif("4.3 4.3 11.3", ["Sb1 0 0 .233 6 c"], "_space_group_name_H-M_alt 'R -3 m'", "90 90 120",
                    (*PLACES, *names))  # fmt: skip
    rhombohedral = cif("4.55 4.55 4.55", ["Sb1 .233 .233 .233 {} c"], "_space_group_name_H-M_alt 'R -3 m:R'",
                       "56 56 56", (*PLACES, *names))  # fmt: skip
    assert crystal_from_cif(hexagonal).n_atoms == 6
    assert crystal_from_cif(rhombohedral.format(2)).n_atoms == 2
    assert crystal_from_cif(rhombohedral.format(6)).n_atoms == 2
    with pytest.raises(UnreadableError, match="multiplicity is given as 3"):
        crystal_from_cif(rhombohedral.format(3))


def test_a_list_of_all_atoms_may_keep_the_multiplicities_of_its_group() -> None:
    sites = [f"K{i} {x} {y} 0 2" for i, (x, y) in enumerate([(0, 0), (0.5, 0.5)])]
    text = cif("5 5 5", sites, operations("x,y,z"), columns=(*PLACES, "symmetry_multiplicity"))
    assert crystal_from_cif(text).n_atoms == 2
    lost = cif("5 5 5", sites[:1], operations("x,y,z"), columns=(*PLACES, "symmetry_multiplicity"))
    with pytest.raises(UnreadableError, match="multiplicity is given as 2"):
        crystal_from_cif(lost)


@pytest.mark.parametrize("crystal", [perovskite(), rutile()], ids=lambda c: c.chemsys)
def test_what_pymatgen_writes_agrees(crystal: Crystal) -> None:
    text = crystal.to_pymatgen().to(fmt="cif", symprec=0.01)
    assert "_atom_site_symmetry_multiplicity" in text
    assert np.isclose(crystal_from_cif(text).volume, crystal.volume, rtol=1e-6)
