"""What a block says of its composition beside the formula sum: other formulas, Z, weight and density."""

from __future__ import annotations

import pytest

from dao_core.crystal import Crystal
from dao_core.readers.base import UnreadableError
from dao_core.readers.cif import crystal_from_cif, read_cif
from tests.helpers.cif_text import cif

SYMMETRY = "_symmetry_space_group_name_H-M 'F m -3 m'\n"
SUM = "_chemical_formula_sum 'Br K'\n"


def salt(lines: str) -> str:
    """KBr, four formula units of 119.00 dalton in 287.5 angstrom^3, density 2.749 g/cm^3."""
    return cif("6.6 6.6 6.6", ["K1 0 0 0", "Br1 .5 .5 .5"], SYMMETRY + lines)


def refused(text: str, match: str) -> None:
    with pytest.raises(UnreadableError, match=match):
        crystal_from_cif(text)


@pytest.mark.parametrize("tag", ["structural", "moiety", "iupac"])
@pytest.mark.parametrize("text", ["K Br, 2(H2 O)", "K2 Br", "K 1+", "K Br (H2 O)2"])
def test_a_formula_that_the_sites_do_not_make_is_refused_where_no_sum_confirms_them(tag: str, text: str) -> None:
    refused(salt(f"_chemical_formula_{tag} '{text}'"), "atoms are missing or wrong")


@pytest.mark.parametrize("text", ["K Br", "K1 +, Br1 -", "Br K n", "2(K Br)", "see text", "KBr.2H2O", "K Br, 2(OMe)"])
def test_formulas_that_fit_or_cannot_be_read_are_no_reason(text: str) -> None:
    assert crystal_from_cif(salt(f"_chemical_formula_moiety '{text}'")).n_atoms == 8


def test_a_formula_sum_outvotes_other_formulas_but_not_elements_that_the_cell_lacks() -> None:
    refused(salt(f"{SUM}_chemical_formula_moiety 'K Br, 2(H2 O)'"), "atoms are missing or wrong")
    (block,) = read_cif(salt(f"{SUM}_chemical_formula_moiety 'K Br2'"))
    assert isinstance(block.value, Crystal)
    assert "_chemical_formula_moiety says 'K Br2'" in block.notes[0]


@pytest.mark.parametrize("units", ["3", "8", "16", "0.3"])
def test_units_that_do_not_divide_the_cell_are_refused(units: str) -> None:
    refused(salt(f"_cell_formula_units_Z {units}"), r"Br4 K4, which is no|no number of formula units")


@pytest.mark.parametrize("units", ["1", "2", "4", "0", "?"])
def test_units_that_divide_the_cell(units: str) -> None:
    assert crystal_from_cif(salt(f"_cell_formula_units_Z {units}")).n_atoms == 8


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ("_chemical_formula_weight 155.03", "which is 3.07 times the _chemical_formula_weight 155.03"),
        ("_chemical_formula_weight 119.0\n_cell_formula_units_Z 2", "4 times"),
        ("_chemical_formula_weight 120.01", "_chemical_formula_weight"),
        ("_exptl_crystal_density_diffrn 3.58", "density of 2.749"),
        ("_exptl_crystal_density_diffrn 1.37(1)", "density of 2.749"),
    ],
)
def test_weight_and_density_that_the_sites_do_not_have(lines: str, match: str) -> None:
    refused(salt(lines), match)
    (block,) = read_cif(salt(SUM + lines.partition("\n")[0]))
    if "119.0" not in lines:
        assert isinstance(block.value, Crystal)
        assert "_chemical_formula_weight" in block.notes[0] or "density" in block.notes[0]


@pytest.mark.parametrize(
    "lines",
    [
        "_chemical_formula_weight 119.00", "_chemical_formula_weight 119", "_chemical_formula_weight 476.01",
        "_chemical_formula_weight 118.98(5)", "_chemical_formula_weight 0", "_chemical_formula_weight ?",
        "_exptl_crystal_density_diffrn 2.75", "_exptl_crystal_density_diffrn 2749", "_exptl_crystal_density_diffrn 2.7",
        "_exptl_crystal_density_diffrn 2.80", "_exptl_crystal_density_diffrn .", "_exptl_crystal_density_meas 9",
    ],
)  # fmt: skip
def test_weight_and_density_as_they_are_rounded(lines: str) -> None:
    (block,) = read_cif(salt(lines))
    assert isinstance(block.value, Crystal)
    assert block.notes == ()
