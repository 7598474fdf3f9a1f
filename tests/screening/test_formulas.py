from __future__ import annotations

from pathlib import Path

import pytest

from dao_core.screening.formulas import (
    FormulaError,
    charge_balanced,
    enumerate_cells,
    formulas_in_system,
    parse_chemical_system,
    parse_formula,
    read_formulas,
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
        ("CaSO4·2H2O", "one formula"),
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


def test_chemical_system_gives_its_charge_balanced_formulas() -> None:
    found = formulas_in_system("Li-Fe-O", max_atoms=8)
    reduced = [f.reduced for f in found]
    assert {"LiFeO2", "Li2FeO3"} <= set(reduced)
    assert len(set(reduced)) == len(reduced)
    assert all(f.chemsys == "Fe-Li-O" and f.atoms_per_unit <= 8 and f.divisor == 1 for f in found)
    assert [f.atoms_per_unit for f in found] == sorted(f.atoms_per_unit for f in found)
    assert {"Li2O", "Fe2O3"} <= {f.reduced for f in formulas_in_system("Li-Fe-O", max_atoms=5, subsystems=True)}


@pytest.mark.parametrize("text", ["Li", "Li--O", "Li-Xx", "Li-Li", "-Li-O"])
def test_no_chemical_system(text: str) -> None:
    with pytest.raises(FormulaError):
        parse_chemical_system(text)


def test_file_of_formulas_keeps_good_rows_and_names_the_others(tmp_path: Path) -> None:
    path = tmp_path / "wanted.txt"
    path.write_text("# my list\nSrTiO3  # perovskite\n\nXx2\nSr2Ti2O6\nMgO\n")
    read = read_formulas(path)
    assert [f.reduced for f in read.formulas] == ["SrTiO3", "MgO"]
    assert [(r.line, r.text) for r in read.refused] == [(4, "Xx2"), (5, "Sr2Ti2O6")]
    assert "repeats SrTiO3 of line 2" in read.refused[1].reason


def test_csv_of_formulas(tmp_path: Path) -> None:
    path = tmp_path / "wanted.csv"
    path.write_text("id,formula\n1,NaCl\n2,\n3,MgO\n")
    read = read_formulas(path)
    assert [f.text for f in read.formulas] == ["NaCl", "MgO"]
    assert [r.line for r in read.refused] == [3]
    path.write_text("id,name\n1,NaCl\n")
    with pytest.raises(FormulaError, match="no column 'formula'"):
        read_formulas(path)


def test_unreadable_files_of_formulas(tmp_path: Path) -> None:
    with pytest.raises(FormulaError, match="no file"):
        read_formulas(tmp_path / "missing.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x81NaCl")
    with pytest.raises(FormulaError, match="cannot be read as text"):
        read_formulas(tmp_path / "binary.txt")
