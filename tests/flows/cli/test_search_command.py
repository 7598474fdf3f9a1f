"""What `dao predict` and `dao screen` print and write where the budget ends early, and the line of counts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dao_core.screening.context import SearchContext
from dao_core.screening.formulas import parse_formula
from flows.cli.main import main
from flows.cli.search_command import SearchCommand, run_search

QUICK = ("-n", "2", "--judge", "none", "--library", "none", "--generator", "none", "--max-atoms", "4")
ENDED = "ended before anything was relaxed: these are the proposals as they stand"


def status(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["dao", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    ("command", "report", "count"),
    [(("predict", "NaCl"), ".", "2 proposals"), (("screen", "NaCl", "MgO"), "report", "4 proposals")],
)
def test_a_budget_that_ends_at_once_writes_and_shows_the_first_look(
    tmp_path: Path, command: tuple[str, ...], report: str, count: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(SearchContext, "late", lambda _, share=1.0: share <= 1.0)
    asked = (*command, *QUICK, "--budget", "1000", "--out", str(tmp_path))
    assert status(monkeypatch, *asked) == 0
    said = capsys.readouterr().out
    assert ENDED in said
    assert f"{count}, {count.split()[0]} not relaxed" in said
    assert (tmp_path / report / "index.html").is_file()
    assert list((tmp_path / report).glob("001_*.cif"))
    monkeypatch.undo()
    assert status(monkeypatch, *asked) == 0  # on with more time
    said = capsys.readouterr().out
    assert ENDED not in said
    assert count in said
    assert f"{count.split()[0]} not relaxed" not in said


def test_the_budget_counts_from_when_the_search_begins(capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"n_generated": 0, "n_seeded": 0, "n_templates": 1, "max_atoms": 4, "budget_seconds": 1e5}
    models = {"generator": "none", "judge": "none", "library": "none"}
    waited = time.time() - 1e6  # for the program itself to be loaded
    assert run_search([parse_formula("NaCl")], SearchCommand("predict", settings, models), waited) == 0
    said = capsys.readouterr().out
    assert ENDED not in said
    assert "1 proposal, 1 relaxed" in said
