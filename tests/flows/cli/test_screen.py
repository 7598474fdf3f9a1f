"""`dao screen` and `dao predict`: what is asked, what is left out and told, and mistakes before any work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dao_core.screening.report.first_principles import add_first_principles, first_principles
from dao_core.screening.report.page import read_data
from flows.cli.main import main
from flows.cli.screen import chosen_formulas, system_request
from tests.helpers.structures import rocksalt
from tests.helpers.validated import validation

QUICK = ("-n", "2", "--judge", "none", "--library", "none", "--generator", "none", "--max-atoms", "4")


def status(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["dao", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


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


AT_WORK = """
import sys
from tasks.run_log import record_command

sys.argv = ["dao", "predict", "KCl", "--out", "out"]
with record_command(sys.stdin.readline().strip(), "predict-KCl"):
    print("begun", flush=True)
    sys.stdin.readline()
"""


def test_a_prediction_waits_for_the_end_of_another_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("predict", "NaCl", *QUICK, "--out", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", AT_WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        print(tmp_path, file=other.stdin, flush=True)
        assert other.stdout.readline() == "begun\n"
        assert status(monkeypatch, *asked) == 2
        said = capsys.readouterr().err.strip()
        assert (
            said
            == f"dao: dao predict KCl --out out works in {tmp_path} now: wait until it has ended, or name another --out"
        )
        assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
        other.communicate("\n", timeout=60)
    assert status(monkeypatch, *asked) == 0


@pytest.mark.parametrize("command", ["predict", "screen"])
@pytest.mark.parametrize("option", ["--generator", "--potential", "--judge"])
def test_a_model_that_is_none_is_refused_before_the_first_table(
    tmp_path: Path, command: str, option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = {"--generator": "none", "--judge": "none", option: str(tmp_path / "oracle")}
    given = [text for pair in models.items() for text in pair]
    assert status(monkeypatch, command, "NaCl", "-n", "2", *given, "--out", str(tmp_path / "run")) == 2
    said = capsys.readouterr()
    assert str(tmp_path / "oracle") in said.err
    assert said.out == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("command", "name"), [("screen", "report/index.html"), ("screen", "run.json"), ("predict", "index.html"),
                          ("predict", "002_NaCl_221.cif"), ("predict", "run.json")],
)  # fmt: skip
def test_a_file_in_the_way_is_one_line_before_any_work(
    tmp_path: Path, command: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('{"mine": 1}')
    assert status(monkeypatch, command, "NaCl", *QUICK, "--out", str(tmp_path)) == 2
    said = capsys.readouterr().err.strip()
    assert said.endswith(f"{name} is not of this program: move it away, or name another folder")
    assert len(said.splitlines()) == 1
    assert [p.read_text() for p in tmp_path.rglob("*") if p.is_file()] == ['{"mine": 1}']


def test_a_screening_leaves_what_is_not_its_own_and_repeated_what_pw_x_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "paper.tex").write_text("1")
    for _ in range(2):
        assert status(monkeypatch, "screen", "NaCl", *QUICK, "--out", str(tmp_path)) == 0
        page = tmp_path / "report" / "index.html"
        if not any("dft" in row for row in read_data(page)["candidates"]):
            best = read_data(page)["candidates"][0]["id"]
            add_first_principles(page, {best: first_principles(validation(rocksalt()))})
            shown = read_data(page)
    assert read_data(page) == shown
    assert shown["candidates"][0]["dft"]["formation_energy"] == -1.9
    assert (tmp_path / "report" / "paper.tex").read_text() == "1"


def test_a_prediction_removes_only_what_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = ("001_experiment.cif", "123_raw_data.cif", "001_KCl_225.cif")
    for name in mine:
        (tmp_path / name).write_text("mine")
    for most in ("4", "2"):
        assert status(monkeypatch, "predict", "NaCl", *QUICK[:-1], most, "--out", str(tmp_path)) == 0
        listed = json.loads((tmp_path / "files.json").read_text())
        there = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
        assert there == {*listed, *mine, "files.json", "run.json"}
    assert all((tmp_path / name).read_text() == "mine" for name in mine)
