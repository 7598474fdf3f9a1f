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
        ("NaCl.", "join the parts of an adduct by a dot"),
        ("2H2O", "follows nothing it could count"),
    ],
)
def test_a_point_that_joins_no_molecule_is_no_adduct(text: str, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        parse_formula(text)
