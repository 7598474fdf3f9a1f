"""Which formulas a search covers, and what it says of those that it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from dao_core.screening.formulas import FormulaError, charge_balanced, parse_formula
from dao_core.screening.select_formulas import SystemRequest, formulas_in_system, read_formulas, select_formulas


def test_chemical_system_gives_its_charge_balanced_formulas_in_the_order_of_its_elements() -> None:
    found = formulas_in_system(SystemRequest("Li-Fe-O", unit_atoms=8)).formulas
    reduced = [f.reduced for f in found]
    assert {"LiFeO2", "Li2FeO3"} <= set(reduced)
    assert len(set(reduced)) == len(reduced)
    assert all(f.chemsys == "Fe-Li-O" and f.atoms_per_unit <= 8 and f.divisor == 1 for f in found)
    assert all(f.shown.startswith("Li") for f in found)
    assert [f.atoms_per_unit for f in found] == sorted(f.atoms_per_unit for f in found)


def test_a_system_takes_what_the_library_knows_and_says_what_its_limits_leave_out() -> None:
    known = ["Na3Cl", "NaCl", "KCl", "Na4Cl10"]
    found = formulas_in_system(SystemRequest("Na-Cl", unit_atoms=4, known=known, max_atoms=64))
    assert [f.shown for f in found.formulas] == ["NaCl", "Na3Cl", "Na2Cl5"]
    assert not any("known" in line for line in found.left_out)
    large = formulas_in_system(SystemRequest("Na-Cl", unit_atoms=4, known=known, max_atoms=3))
    assert any("Na3Cl" in line and "--max-atoms 3" in line for line in large.left_out)
    oxides = formulas_in_system(SystemRequest("Fe-O", unit_atoms=4))
    assert "Fe2O3" not in [f.shown for f in oxides.formulas]
    assert any("Fe2O3" in line and "--unit-atoms 8" in line for line in oxides.left_out)


def test_what_a_library_lists_or_a_system_has_is_what_it_says() -> None:
    """FeC3SO3 may mean an adduct when somebody types it; the library's own formula can't be another one."""
    with pytest.raises(FormulaError, match="3SO3 may be"):
        select_formulas(["FeC3SO3"])
    known = ["FeC3SO3", "NaCl"]
    assert [f.shown for f in formulas_in_system(SystemRequest("Na-Cl", unit_atoms=2, known=known)).formulas] == ["NaCl"]
    found = formulas_in_system(SystemRequest("Fe-C-S-O", unit_atoms=8, known=known, unbalanced=True)).formulas
    assert "FeC3SO3" in {f.text for f in found}
    assert all(parse_formula(f.text, typed=False).unit == f.unit for f in found)


def test_unbalanced_formulas_of_a_system_are_asked_for() -> None:
    balanced = formulas_in_system(SystemRequest("Na-Cl", unit_atoms=4)).formulas
    everything = formulas_in_system(SystemRequest("Na-Cl", unit_atoms=4, unbalanced=True)).formulas
    assert [f.shown for f in balanced] == ["NaCl"]
    assert {"NaCl", "NaCl3", "Na3Cl"} <= {f.shown for f in everything}


def test_a_typed_formula_is_searched_whatever_its_charges_and_comes_once(tmp_path: Path) -> None:
    listed = tmp_path / "formulas.txt"
    listed.write_text("MgO\nXx2\nCl1Na1\n")
    found = select_formulas(["NaCl3", "NaCl"], file=listed, system=SystemRequest("Mg-O", unit_atoms=4))
    assert [f.shown for f in found.formulas][:3] == ["NaCl3", "NaCl", "MgO"]
    assert len({f.reduced for f in found.formulas}) == len(found.formulas)
    assert any(line.startswith("line 2: formula 'Xx2': Xx is not an element") for line in found.left_out)
    assert not charge_balanced("NaCl3")
    assert found.notes == ["NaCl3: no common oxidation states balance it (searched all the same)"]
    assert not charge_balanced("Nd2Fe14B")
    assert select_formulas(["Nd2Fe14B", "MgCNi3"]).notes == []  # of an alloy nobody expects it


def test_a_system_offers_no_unit_that_is_larger_than_the_largest_cell() -> None:
    """One such formula would end the search of all."""
    small = formulas_in_system(SystemRequest("Sr-Ti-O", max_atoms=4))
    assert [f.shown for f in small.formulas] == ["SrTiO2"]
    assert any("more than 4 atoms" in line and "--max-atoms 10 takes" in line for line in small.left_out)
    within = formulas_in_system(SystemRequest("Sr-Ti-O", max_atoms=12))
    assert max(f.atoms_per_unit for f in within.formulas) == 10
    assert any("--unit-atoms 12 takes" in line for line in within.left_out)


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
    path.write_text("Formula;n\nNaCl;1\nMgO;2\n")
    assert [f.text for f in read_formulas(path).formulas] == ["NaCl", "MgO"]
    path.write_text("Formula,formula\nNaCl,MgO\n")
    with pytest.raises(FormulaError, match="two columns 'formula'"):
        read_formulas(path)


def test_files_of_formulas_as_programs_write_them(tmp_path: Path) -> None:
    path = tmp_path / "wanted.csv"
    for content in (
        "formula,author\nNaCl,M\xfcller\n".encode("latin-1"), b"\n \nformula,n\r\nNaCl,1\r\n", b"formula,n\rNaCl,1\r",
    ):  # fmt: skip
        path.write_bytes(content)
        assert [f.text for f in read_formulas(path).formulas] == ["NaCl"]
    path.write_text("\nformula\nNaCl\nXx\n")
    assert [r.line for r in read_formulas(path).refused] == [4]
    (tmp_path / "wanted.tsv").write_text("formula\tn\nNaCl\t1\n")
    assert [f.text for f in read_formulas(tmp_path / "wanted.tsv").formulas] == ["NaCl"]


def test_unreadable_files_of_formulas(tmp_path: Path) -> None:
    with pytest.raises(FormulaError, match="no file"):
        read_formulas(tmp_path / "missing.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x81NaCl")
    with pytest.raises(FormulaError, match="is no text in UTF-8"):
        read_formulas(tmp_path / "binary.txt")
    with pytest.raises(FormulaError, match="is a folder"):
        read_formulas(tmp_path)
