"""`--json`: any command's tables as one JSON document on stdout, everything else on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.run_log import RunLog
from tests.helpers.cli import dao


def test_runs_as_json(tmp_path: Path) -> None:
    with RunLog(tmp_path / "a", name="a", command="dao again").stage("relax") as entry:
        entry["counts"] = {"n_ok": 3}
    listed = json.loads(dao("status", "--root", ".", "--json", cwd=tmp_path).stdout)
    (row,) = listed["tables"][0]["rows"]
    assert (row["folder"], row["command"], row["done"]) == ("a", "dao again", 1)
    shown = json.loads(dao("--json", "runs", "show", "a", "--root", ".", cwd=tmp_path).stdout)
    (stage,) = shown["tables"][0]["rows"]
    assert (stage["stage"], stage["counts"]) == ("relax", {"n_ok": 3})
    (tmp_path / "nothing").mkdir()
    empty = dao("status", "--root", "nothing", "--json", cwd=tmp_path)
    assert json.loads(empty.stdout) == {"tables": []}
    assert "no runs below" in empty.stderr


def test_candidates_as_json_are_numbers(tmp_path: Path) -> None:
    options = ("-n", "2", "--generator", "none", "--judge", "none", "--max-atoms", "4", "--budget", "600", "--json")
    done = dao("predict", "NaCl", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    best = json.loads(done.stdout)["tables"][-1]["rows"][0]
    assert best["spacegroup_after"] == 225
    assert 0 < best["probability"] <= 1
    assert best["energy_per_atom"] < 0
    assert "asked =" in done.stderr


@pytest.mark.parametrize("command", ["predict", "screen"])
def test_the_help_of_a_search_names_the_option(command: str, tmp_path: Path) -> None:
    assert "--json" in dao(command, "--help", cwd=tmp_path).stdout


def test_a_mistake_is_still_one_line_and_status_2(tmp_path: Path) -> None:
    done = dao("predict", "Xx2", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert "Xx is not an element" in done.stderr
    said = json.loads(done.stdout)
    assert said["tables"] == []
    assert "Xx is not an element" in said["error"]
    missing = json.loads(dao("status", "--root", "missing", "--json", cwd=tmp_path).stdout)
    assert missing == {"tables": [], "error": "--root missing is not there: name the folder that holds the runs"}
