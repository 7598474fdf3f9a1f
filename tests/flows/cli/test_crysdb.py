"""`dao crysdb ...` as a newcomer uses it: one process after another in an empty folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli.main import app
from tasks.run_log import read_state
from tests.helpers.cli import dao as in_a_process
from tests.helpers.small_runs import write_dataset


def dao(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of copper-gold alloys, built twice with another limit, and its settings."""
    folder = tmp_path_factory.mktemp("building")
    data = write_dataset(folder / "emt.parquet", 30)
    settings = {
        "sources": [
            {"kind": "files", "name": "emt", "paths": [str(data)], "functional": "EMT", "license": "MIT"},
            {"kind": "prototypes", "elements": ["Cu", "Au"], "max_atoms": 2},
        ],
        "clean": {"min_atoms": 4},
        "benchmarks": [
            {"name": "held", "paths": [str(data)]},
            {"name": "superconductors", "formulas": ["Cr6Os2"]},
        ],
        "workers": 1,
    }
    (folder / "db.yaml").write_text(yaml.safe_dump(settings))
    dao("crysdb", "build", folder / "db.yaml", "--root", folder / "db")
    (folder / "db.yaml").write_text(yaml.safe_dump({**settings, "clean": {"min_atoms": 2}}))
    (folder / "said.txt").write_text(dao("crysdb", "build", folder / "db.yaml", "--root", folder / "db"))
    return folder


def test_a_build_tells_rows_hulls_leaks_and_what_comes_next(folder: Path) -> None:
    said = (folder / "said.txt").read_text()
    assert "version 1 in" in said
    assert "hulls: 30 rows with a hull distance" in said
    assert "leak audit" in said
    assert "dao crysdb doctor" in said
    held = next(line.split() for line in said.splitlines() if line.strip().startswith("held"))
    assert held[1:4] == ["30", "30", "(100.0"]  # the test entries are in the table: all are reached


def test_a_folder_may_have_a_space_and_letters_beyond_ascii(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "\u00e4 b" / "db"
    said = dao("crysdb", "build", folder / "db.yaml", "--root", root)
    assert f"dao crysdb doctor --root '{root}'" in said
    dao("crysdb", "update", folder / "db.yaml", "--root", root)
    assert "failed" not in dao("crysdb", "doctor", "--root", root)
    assert "30" in dao("crysdb", "query", "SELECT count(*) AS n FROM crysdb WHERE source = 'emt'", "--root", root)
    state = read_state(root)
    assert state is not None
    assert state["command"] == f"dao crysdb build {folder / 'db.yaml'} --root '{root}'"


def test_the_run_is_in_the_run_log(folder: Path) -> None:
    said = dao("status", "--root", folder)
    assert "completed" in said
    assert "build CrysDB" in dao("runs", "show", "crysdb", "--root", folder)


def test_doctor_card_leaks_and_history(folder: Path) -> None:
    assert "failed" not in dao("crysdb", "doctor", "--root", folder / "db")
    dao("crysdb", "card", "--root", folder / "db", "--out", folder / "card")
    card = (folder / "card" / "card.md").read_text()
    assert "| held | 30 (100.0 %)" in card
    assert (folder / "card" / "distributions.png").stat().st_size > 10_000
    assert "superconductors" in dao("crysdb", "leaks", "--root", folder / "db")
    assert "emt:" in dao("crysdb", "history", "--root", folder / "db")


def test_query_travels_in_time_and_takes_the_level(folder: Path) -> None:
    counts = []
    for version in (0, 1):
        out = folder / f"n-{version}.csv"
        dao("crysdb", "query", "SELECT count(*) AS n FROM crysdb", "--root", folder / "db", "--version", version,
            "--out", out)  # fmt: skip
        counts.append(int(out.read_text().split()[1]))
    assert 0 < counts[0] < counts[1]
    out = folder / "n.csv"
    for level, some in (("none", True), ("structure", False)):
        sql = "SELECT count(*) AS n FROM crysdb_leak_free WHERE source = 'emt'"
        dao("crysdb", "query", sql, "--root", folder / "db", "--level", level, "--out", out)
        assert (int(out.read_text().split()[1]) > 0) == some


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code != 0
    return " ".join(f"{result.output} {result.exception}".split())


def test_an_answer_shows_values_as_they_are_and_numbers_rounded(folder: Path) -> None:
    sql = """SELECT '[red]x[/red]' AS "[b]name", 1.0/3 AS third, [2.0/3, 1] AS list, 'a' || chr(27) || '[2J' AS esc,
             1 AS third"""
    shown = dao("crysdb", "query", sql, "--root", folder / "db")
    assert "[red]x[/red]" in shown
    assert "[b]name" in shown
    assert "0.333333 " in shown
    assert "[0.666667, 1" in shown
    assert "\x1b" not in shown
    assert "third_2" in shown
    dao("crysdb", "query", "SELECT 1.0::double/3 AS third", "--root", folder / "db", "--out", folder / "third.csv")
    assert "0.3333333333333333" in (folder / "third.csv").read_text()


def test_as_json_numbers_are_numbers(folder: Path) -> None:
    sql = """SELECT 2::double/3 AS third, sum(n_atoms) AS atoms, [1::double/3, 1] AS list, 0.5 AS half,
             any_value(NULL) AS nothing FROM crysdb"""
    (row,) = json_rows("crysdb", "query", sql, "--root", folder / "db")
    assert row["third"] == 2 / 3
    assert row["list"] == [1 / 3, 1]
    assert row["half"] == 0.5
    assert isinstance(row["atoms"], int)
    assert row["nothing"] is None
    held = json_rows("crysdb", "leaks", "--root", folder / "db")[0]
    assert (held["benchmark"], held["entries"], held["same structure"], held["out of reach"]) == ("held", 30, 30, 0)


def json_rows(*arguments: object) -> list[dict[str, Any]]:
    done = in_a_process(*map(str, arguments), "--json")
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["tables"][0]["rows"]
    return rows


def test_where_the_answer_goes_is_checked_before_the_question(folder: Path) -> None:
    query = ("crysdb", "query", "SELECT 1", "--root", folder / "db")
    assert "no folder" in refused(*query, "--out", folder / "nowhere" / "a.csv")
    assert "one of the endings .csv, .parquet" in refused(*query, "--out", folder / "a.txt")
    assert "is a folder" in refused(*query, "--out", _folder(folder / "a.csv"))
    assert "no folder" in refused("crysdb", "export", folder / "nowhere" / "a.extxyz", "--root", folder / "db")
    assert "one of the endings" in refused("crysdb", "export", folder / "a.cif", "--root", folder / "db")


def _folder(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def test_versions_that_are_not_there(folder: Path) -> None:
    query = ("crysdb", "query", "SELECT 1", "--root", folder / "db", "--version")
    assert "has no version 99: use one of 0 to 1" in refused(*query, 99)
    assert "Invalid value for '--version'" in refused(*query, -1)


@pytest.mark.parametrize("name", ["all.extxyz", "all.jsonl", "all.npz"])
def test_exports_of_a_view(folder: Path, name: str) -> None:
    whole = dao("crysdb", "export", folder / name, "--root", folder / "db").split()[0]
    part = dao("crysdb", "export", folder / name, "--root", folder / "db", "--view", "relaxed", "--level", "none")
    part = part.split()[0]
    assert 0 < int(part) < int(whole)
    assert (folder / name).exists()


def test_a_level_without_a_view_and_a_word_that_is_no_date_are_refused(folder: Path) -> None:
    out = ("crysdb", "export", folder / "x.npz", "--root", folder / "db", "--level", "composition")
    assert "name one, such as --view leak_free" in dao(*out, code=2)
    assert "write a date such as 2025-01-31" in dao("crysdb", "update", "--since", "yesterday", code=2)


def test_an_update_without_news_is_no_version(folder: Path) -> None:
    assert "version 1: " in dao("crysdb", "update", folder / "db.yaml", "--root", folder / "db")


def test_nothing_is_deleted_unless_asked(folder: Path, tmp_path: Path) -> None:
    import shutil

    root = Path(shutil.copytree(folder / "db", tmp_path / "db"))
    assert "delete them with --yes" in dao("crysdb", "vacuum", "--root", root, "--hours", 0)
    assert "0 files of versions older than 2160 hours deleted" in dao("crysdb", "vacuum", "--root", root, "--yes")
    dao("crysdb", "query", "SELECT 1 AS one FROM crysdb LIMIT 1", "--root", root, "--version", 0)
    assert "files of old versions deleted" in dao("crysdb", "vacuum", "--root", root, "--hours", 0, "--yes")
    assert "failed" not in dao("crysdb", "doctor", "--root", root)


@pytest.mark.parametrize("arguments", [("vacuum",), ("vacuum", "--yes"), ("update", "db.yaml")])
def test_a_mistyped_database_is_refused_and_not_begun(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    result = in_a_process("crysdb", *arguments, "--root", str(tmp_path / "typo"))
    assert result.returncode == 2
    assert f"{tmp_path / 'typo'}" in result.stderr
    assert "run `dao crysdb build` first, or correct the path" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_settings_that_ship_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.cli.crysdb import config_path

    monkeypatch.chdir(tmp_path)
    assert config_path(Path("configs/crysdb-sample.yaml")).exists()
    assert config_path(Path("nothing.yaml")) == Path("nothing.yaml")


def test_a_build_that_cannot_read_says_so_and_is_in_the_run_log(folder: Path) -> None:
    (folder / "bad.yaml").write_text("sources: [{kind: files, name: x, paths: [missing.parquet], functional: f}]\n")
    result = CliRunner().invoke(app, ["crysdb", "build", str(folder / "bad.yaml"), "--root", str(folder / "bad")])
    assert "missing.parquet is not a file" in str(result.exception)
    state = json.loads((folder / "bad" / "run.json").read_text())
    assert (state["status"], "missing.parquet" in state["error"]) == ("failed", True)
