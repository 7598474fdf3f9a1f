"""`dao study` as a user meets it: run, go on, report what is done; mistakes are one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from dao_core.artifacts import PUBLISHED
from tasks.studies import unlisted_files
from tests.helpers.cli import dao

STUDY = {
    "kind": "pressure", "judge": "dao", "transitions": ["NaCl"], "fractions": [0.0, 0.2], "relax_steps": 2,
    "hydride": {"n": 0},
}  # fmt: skip


def settings(folder: Path, **changes: object) -> str:
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump({"name": "small", "root": "run", "study": {**STUDY, **changes}}))
    return str(path)


def test_a_study_runs_and_what_is_done_can_be_reported(tmp_path: Path) -> None:
    config = settings(tmp_path)
    early = dao("study", "pressure", "--config", config, "--done-only", cwd=tmp_path)
    assert early.returncode == 2
    assert "leave out --done-only" in early.stderr
    first = dao("study", "pressure", "--config", config, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "2/2: NaCl B2" in first.stdout
    assert json.loads(first.stdout.splitlines()[-1])["n_transitions"] == 1
    names = {p.name for p in (tmp_path / "run" / "report").iterdir()}
    assert {"report.json", "pressure.png", "pressure-curves.parquet"} <= names
    again = dao("study", "pressure", "--config", config, "--data", "elsewhere", "--done-only", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "parts: 2 of 2" in again.stdout


def test_a_report_of_somebody_else_stays(tmp_path: Path) -> None:
    report = tmp_path / "run" / "report"
    report.mkdir(parents=True)
    (report / "report.json").write_text("mine")
    config = settings(tmp_path)
    result = dao("study", "pressure", "--config", config, cwd=tmp_path)
    assert result.returncode == 2
    assert "report/report.json is not of this program: move it away" in result.stderr
    assert [p.name for p in tmp_path.joinpath("run").iterdir()] == ["report"]
    (report / "report.json").rename(report / "paper.tex")
    result = dao("study", "pressure", "--config", config, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (report / "paper.tex").read_text() == "mine"


def test_a_report_of_a_version_that_kept_no_list_is_replaced_unless_it_was_changed(tmp_path: Path) -> None:
    """An older version put the stage's folder in place as it was, with its manifest and without `files.json`."""
    config, report = settings(tmp_path), tmp_path / "run" / "report"
    assert dao("study", "pressure", "--config", config, cwd=tmp_path).returncode == 0
    (report / PUBLISHED).unlink()
    (report / "paper.tex").write_text("mine")
    again = dao("study", "pressure", "--config", config, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "report.json" in json.loads((report / PUBLISHED).read_text())
    assert (report / "paper.tex").read_text() == "mine"
    (report / PUBLISHED).unlink()
    (report / "pressure.png").write_text("mine")
    changed = dao("study", "pressure", "--config", config, cwd=tmp_path)
    assert changed.returncode == 2
    assert "report/pressure.png is not of this program: move it away" in changed.stderr
    assert (report / "pressure.png").read_text() == "mine"


@pytest.mark.parametrize(
    "text", ["mine", "[]", '{"stage": 3}', '{"stage": "pressure-report", "files": ["report.json"]}']
)
def test_a_manifest_of_somebody_else_makes_no_report_ours(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    (tmp_path / "report.json").write_text("mine")
    assert unlisted_files(tmp_path) == []
    assert unlisted_files(tmp_path / "missing") == []


@pytest.mark.parametrize(
    ("name", "changes", "options", "message"),
    [
        ("poetry", {}, (), "no study 'poetry': use one of loop, polymorphs, pressure, properties"),
        ("polymorphs", {}, (), "has the settings of the study pressure, not of polymorphs"),
        ("pressure", {"fractions": [1.0]}, (), "at least two different fractions"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, name: str, changes: dict[str, object], options: tuple[str, ...], message: str
) -> None:
    result = dao("study", name, "--config", settings(tmp_path, **changes), *options, cwd=tmp_path)
    assert result.returncode == 2, result.stdout
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_missing_data_are_one_line(tmp_path: Path) -> None:
    result = dao("study", "properties", "--data", "nowhere", cwd=tmp_path)
    assert result.returncode == 2, result.stdout
    assert re.search(r"nowhere\S* is not there: --data names the folder with the data of the studies", result.stderr)
    assert len(result.stderr.strip().splitlines()) == 1
