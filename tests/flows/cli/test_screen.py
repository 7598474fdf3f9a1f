"""`dao screen` and `dao predict`: what is asked, what is left out and told, and mistakes before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.main import main
from flows.cli.screen import chosen_formulas, system_request


def test_a_formula_without_balance_is_searched_and_noted(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = chosen_formulas(["NaCl", "NaCl3"], None, None)
    assert [f.shown for f in chosen] == ["NaCl", "NaCl3"]
    assert "note: NaCl3: no common oxidation states balance it" in capsys.readouterr().out


def test_formulas_from_everywhere_come_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = tmp_path / "formulas.txt"
    listed.write_text("MgO\nXx2\nCl1Na1\n")
    chosen = chosen_formulas(["NaCl"], listed, system_request("Mg-O", 4, False, "none", 64))
    assert [f.shown for f in chosen][:2] == ["NaCl", "MgO"]
    out = capsys.readouterr().out
    assert "left out: line 2: formula 'Xx2': Xx is not an element" in out
    assert "Mg-O: " in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("screen",), "nothing to search: give formulas, --system or --file"),
        (("screen", "NaCl", "--order", "size"), "--order size: use probability, listed or energy"),
        (("predict", "NaCl", "--judge", "oracle"), "no potential 'oracle'"),
        (("screen", "NaCl", "--judge", "none", "--phonons", "--phonon-potential", "oracle"), "no potential 'oracle'"),
        (("screen", "NaCl", "--hull", "mine"), "--hull mine: use auto, database, relaxed or none"),
        (("screen", "NaCl", "--hull", "database"), "--hull database needs a database: name its table with --crysdb"),
        (("screen", "NaCl", "--hull", "relaxed"), "--hull relaxed needs a database: name its table with --crysdb"),
        (("predict", "NaCl", "--judge", "none", "--dispersion"), "added to the judge's energies, and judge is none"),
        (("screen", "NaCl", "--pressure", "much"), "--pressure much: give GPa"),
        (("screen", "NaCl", "--pressure", "0,5000"), "pressures are in GPa, between -50 and 1000"),
        (("screen", "NaCl", "--keep", "Na"), "--keep names elements of a --framework"),
        (("screen", "NaCl", "--free"), "--free lets go of a --framework or a --lattice"),
        (("screen", "NaCl", "--unbalanced"), "give --system"),
        (("screen", "NaCl", "--best", "5"), "give one of them"),
        (("screen", "NaCl", "--judge", "none", "--n-judged", "2"), "leave one of them out"),
        (("screen", "NaCl", "--framework", "none.cif"), "none.cif is not a file"),
        (("predict", "NaCl", "--lattice", "none.cif"), "none.cif is not a file"),
        (("predict", "NaCl", "--spacegroup", "231"), "Invalid value for '--spacegroup'"),
        (("screen", "--system", "Li"), "is not a chemical system"),
        (("screen", "--file", "none.txt"), "no file none.txt"),
    ],
)
def test_a_mistake_is_one_line_before_any_work(
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["dao", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.parquet"))
