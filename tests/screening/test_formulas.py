from __future__ import annotations

import pytest

from dao_core.screening.formulas import (
    FormulaError,
    charge_balanced,
    enumerate_cells,
    parse_chemical_system,
    parse_formula,
)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("SrTiO3", {"Sr": 1, "Ti": 1, "O": 3}),
        ("  Fe2O3 ", {"Fe": 2, "O": 3}),
        ("Fe₂O₃", {"Fe": 2, "O": 3}),
        ("Ca(OH)2", {"Ca": 1, "O": 2, "H": 2}),
        ("Ca3[Al(OH)6]2", {"Ca": 3, "Al": 2, "O": 12, "H": 12}),
        ("Co", {"Co": 1}),
        ("CO", {"C": 1, "O": 1}),
        ("CH3CH3", {"C": 1, "H": 3}),
        ("Sr2Ti2O6", {"Sr": 1, "Ti": 1, "O": 3}),
    ],
)
def test_formula_unit(text: str, unit: dict[str, int]) -> None:
    assert parse_formula(text).unit == unit


def test_counts_as_typed_are_kept_beside_the_reduced_formula() -> None:
    formula = parse_formula("Sr2Ti2O6")
    assert formula.divisor == 2
    assert dict(formula.counts) == {"Sr": 2, "Ti": 2, "O": 6}
    assert formula.reduced == "SrTiO3"
    assert formula.chemsys == "O-Sr-Ti"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Sr1Ti0O3", "Ti0 asks for zero"),
        ("Ti02", "Ti02 has a number that begins with 0: is it the letter O, oxygen?"),
        ("Xx2", "Xx is not an element"),
        ("", "empty"),
        ("   ", "empty"),
        ("Fe0.5O", "Fe0.5 is a fraction"),
        ("Fe.5O", r"Fe.5 is a fraction"),
        ("nacl", "capital letter"),
        ("NaCl+", "charge"),
        ("Na Cl", "space"),
        ("2NaCl", "follows nothing"),
        ("Ca(OH2", "not closed"),
        ("CaOH)2", "never opened"),
        ("()", "no element"),
        ("Na1000Cl", "more than"),
        ("D2O", "D is not an element"),
        ("Na$Cl", "unexpected"),
    ],
)
def test_what_is_no_formula_is_refused_by_its_token(text: str, named: str) -> None:
    with pytest.raises(FormulaError, match=named):
        parse_formula(text)


def test_cells_of_every_number_of_formula_units() -> None:
    cells = enumerate_cells("SrTiO3", 20)
    assert [sum(c.values()) for c in cells] == [5, 10, 15, 20]
    assert cells[1] == {"Sr": 2, "Ti": 2, "O": 6}
    assert enumerate_cells("Sr2Ti2O6", 20) == cells
    assert [sum(c.values()) for c in enumerate_cells("NaCl", 6, min_atoms=3)] == [4, 6]


def test_a_formula_unit_too_large_says_how_to_go_on() -> None:
    with pytest.raises(FormulaError, match="raise max_atoms to 34"):
        enumerate_cells("Ca3[Al(OH)6]2O5", 20)


def test_a_formula_unit_larger_than_any_cell_is_not_told_to_raise_the_limit() -> None:
    assert sum(enumerate_cells("C99H101", 200)[0].values()) == 200
    for limit in (64, 200):
        with pytest.raises(FormulaError, match="cells of more than 200 are not searched: give a smaller formula") as no:
            enumerate_cells("C100H101", limit)
        assert "raise max_atoms" not in str(no.value)


@pytest.mark.parametrize(("text", "balanced"), [("NaCl", True), ("NaCl2", False), ("Fe3O4", True), ("LiFePO4", True)])
def test_charge_balance(text: str, balanced: bool) -> None:
    assert charge_balanced(text) is balanced


@pytest.mark.parametrize("text", ["Li", "Li--O", "Li-Xx", "Li-Li", "-Li-O"])
def test_no_chemical_system(text: str) -> None:
    with pytest.raises(FormulaError):
        parse_chemical_system(text)


@pytest.mark.parametrize(
    ("text", "counts", "shown"),
    [
        ("CuSO4.5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}, "CuSO4.5H2O"),
        ("CuSO4·5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}, "CuSO4·5H2O"),
        ("CaSO4.0.5H2O", {"Ca": 2, "S": 2, "O": 9, "H": 2}, "CaSO4.0.5H2O"),
        ("CaSO4·0.5H2O", {"Ca": 2, "S": 2, "O": 9, "H": 2}, "CaSO4·0.5H2O"),
        ("3CaO*Al2O3", {"Ca": 3, "O": 6, "Al": 2}, "3CaO*Al2O3"),
        ("LiCl.H2O", {"Li": 1, "Cl": 1, "H": 2, "O": 1}, "LiCl.H2O"),
        ("CoCl2.4NH3.2H2O", {"Co": 1, "Cl": 2, "N": 4, "H": 16, "O": 2}, "CoCl2.4NH3.2H2O"),
        ("MoSi2", {"Mo": 1, "Si": 2}, "MoSi2"),
        ("Si4Mo2", {"Si": 4, "Mo": 2}, "Si2Mo"),
    ],
)
def test_adducts_are_read_and_the_typed_order_is_shown(text: str, counts: dict[str, int], shown: str) -> None:
    parsed = parse_formula(text)
    assert dict(parsed.counts) == counts
    assert parsed.shown == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Fe0.5Ni0.5O", "Fe0.5 is a fraction"),
        ("Li1.5NiO2", "Li1.5 is a fraction"),
        ("CuSO4.0H2O", "asks for zero of it"),
        ("NaCl.", "the last '.' joins nothing: remove it"),
        ("2H2O", "follows nothing it could count"),
    ],
)
def test_a_point_that_joins_no_molecule_is_no_adduct(text: str, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        parse_formula(text)


@pytest.mark.parametrize(
    "text",
    ["Fe(II)O", "Fe(III)2O3", "Fe[II]O", "Fe(iii)2O3", "FeIIO", "FeIII2O3", "MnIVO2", "VIVO2", "CrVIO3", "Cu(I)2O"],
)
def test_oxidation_states_are_no_iodine_and_no_vanadium(text: str) -> None:
    with pytest.raises(FormulaError, match="is an oxidation state: leave it out"):
        parse_formula(text)


@pytest.mark.parametrize("text", ["CuI", "InI", "CsI3", "VI3", "BiVO4", "FeVO4", "PbIIn", "AgIIr", "VIO2", "I2"])
def test_iodides_and_vanadates_stay_what_they_are(text: str) -> None:
    from pymatgen.core import Composition

    assert parse_formula(text).unit == Composition(text).reduced_composition.as_reduced_dict()


@pytest.mark.parametrize(
    ("text", "likelier"),
    [
        ("CuSO45H2O", "CuSO4·5H2O"),
        ("MgCl26H2O", "MgCl2·6H2O"),
        ("Na2CO310H2O", "Na2CO3·10H2O"),
        ("Al2(SO4)318H2O", "Al2(SO4)3·18H2O"),
        ("Ba(OH)28H2O", "Ba(OH)2·8H2O"),
        ("NaOH4H2O", "NaOH·4H2O"),
        ("Na2S9H2O", "Na2S·9H2O"),
        ("CoCl24NH32H2O", "NH3·2H2O"),
        ("CaSO40.5H2O", "CaSO4·0.5H2O"),
        ("CaSO41.5H2O", "CaSO4·1.5H2O"),
    ],
)
def test_a_number_that_may_count_either_way_is_refused(text: str, likelier: str) -> None:
    with pytest.raises(FormulaError, match=r"dot|·") as error:
        parse_formula(text)
    assert likelier in str(error.value)
    assert parse_formula(likelier)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("Ca2B6O11.5H2O", {"Ca": 2, "B": 6, "O": 16, "H": 10}),  # colemanite
        ("Na2Al2Si3O10.2H2O", {"Na": 2, "Al": 2, "Si": 3, "O": 12, "H": 4}),  # natrolite
        ("H3PW12O40.6H2O", {"H": 15, "P": 1, "W": 12, "O": 46}),
        ("KAl(SO4)2.12H2O", {"K": 1, "Al": 1, "S": 2, "O": 20, "H": 24}),
        ("Na2O2.8H2O", {"Na": 2, "O": 10, "H": 16}),
        ("CuSO4H2O", {"Cu": 1, "S": 1, "O": 5, "H": 2}),
        ("C10H2O", {"C": 10, "H": 2, "O": 1}),
        ("CaSO4.1/2H2O", {"Ca": 2, "S": 2, "O": 9, "H": 2}),
        ("CaSO4·3/2H2O", {"Ca": 2, "S": 2, "O": 11, "H": 6}),
        ("3Al2O3·2SiO2", {"Al": 6, "O": 13, "Si": 2}),
    ],
)
def test_counts_that_can_be_bound_are_read(text: str, counts: dict[str, int]) -> None:
    assert dict(parse_formula(text).counts) == counts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TiO2-anatase", "'-anatase' is no part of a formula: leave it out"),
        ("alpha-Al2O3", "'alpha' is no part of a formula: leave it out"),
        ("Li-Fe-O", "dao screen --system Li-Fe-O"),
        ("YBa2Cu3O7-x", "'-x' is a content that varies: give whole numbers"),
        ("SrTiO3–δ", "is a content that varies: give whole numbers"),
        ("MgO+SiO2", "'+' joins nothing: give one formula"),
        ("Na+Cl-", "'+' is a charge"),
        ("Fe(2+)O", "(2+) is a charge"),
        ("Fe²⁺O", "'²' is a superscript"),
        ("NaCl(s)", "(s) is a state of matter: leave it out"),
        ("3Al2O3.2SiO2", "join formulas by · or *, as in 3Al2O3·2SiO2"),
        ("Fe2O3.2SiO2", "join two formulas by · or * instead of the period"),
        ("CaSO4·½H2O", "write the number as a decimal, such as 0.5"),
        ("CaSO4·1/0H2O", "'/' divides nothing here"),
        ("1.5H2O", "the number 1.5 follows nothing it could count: leave it out"),
        ("2NaCl", "the number 2 follows nothing it could count: leave it out"),
        ("D2O", "isotopes are written H, as in H2O"),
        ("LiD", "isotopes are written H, as in LiH"),
        ("[NaCl", "a bracket is not closed, add ']'"),
        ("Ca(OH]2", "']' closes '(': write ')'"),
        ("MgCl2.6H2O.", "the last '.' joins nothing: remove it"),
        ("·NaCl", "the first '·' joins nothing: remove it"),
        ("CuSO4..5H2O", "by one dot"),
        ("N\N{CYRILLIC SMALL LETTER A}Cl", "cyrillic small letter a"),
    ],
)
def test_a_mistake_is_called_by_its_name(text: str, message: str) -> None:
    with pytest.raises(FormulaError) as error:
        parse_formula(text)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["x" * 10_000, "(" * 3000, "Na" + "9" * 5000, "Na" * 5000])
def test_a_long_text_is_refused_in_one_short_line(text: str) -> None:
    for parse in (parse_formula, parse_chemical_system):
        with pytest.raises(FormulaError) as error:
            parse(text)
        assert len(str(error.value)) < 250


@pytest.mark.parametrize("value", [None, 5, ["NaCl"], b"NaCl", {"formula": "NaCl"}])
def test_what_is_no_text_is_no_formula(value: object) -> None:
    for parse in (parse_formula, parse_chemical_system):
        with pytest.raises(FormulaError, match="is no"):
            parse(value)  # type: ignore[arg-type]
