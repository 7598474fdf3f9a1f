"""Generated pages are made whole; pages that are linked exist."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.deployments import deployments

ROOT = Path(__file__).resolve().parents[2]


def test_the_command_line_page_has_every_command_and_option() -> None:
    page = runpy.run_path(str(ROOT / "infra" / "docs_hooks.py"))["command_page"]()
    for title in ("## `dao predict`", "### `dao crysdb build`", "## `dao status`", "### `dao validate run`"):
        assert title in page
    assert "* `--spacegroup <int range>`" in page


def test_every_page_of_the_navigation_exists() -> None:
    def pages(node: object) -> list[str]:
        if isinstance(node, str):
            return [node]
        values = node.values() if isinstance(node, dict) else node
        return [page for value in values for page in pages(value)]  # type: ignore[union-attr]

    listed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    made = {"benchmarks.md", "cli.md"}  # by infra/docs_hooks.py
    found = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert found | made == set(listed), "the pages in docs/ and the navigation in mkdocs.yml differ"


def test_the_page_of_benchmarks_shows_the_newest_line_of_every_bar(tmp_path: Path) -> None:
    hooks = runpy.run_path(str(ROOT / "infra" / "docs_hooks.py"))
    old = {"issue": "crysdb", "row": 1, "what": "rows|s", "value": 1, "bar": 5, "met": False, "why": "slow", "n": 3}
    new = {**old, "value": [2.00001, None], "interval": "2 to 3", "command": "python x.py"}
    first = {"issue": "first-light", "row": 2, "what": "demo", "value": 9.123456, "bar": 10, "met": True, "n": 1}
    (tmp_path / "bars.jsonl").write_text("\n".join(json.dumps(line) for line in (old, first, new)) + "\n")
    page = hooks["benchmark_page"](hooks["newest"](tmp_path / "bars.jsonl"))
    assert page.index("## First light") < page.index("## CrysDB")
    assert "| rows\\|s | 2 / - | 5 | **not met** | 3 | 2 to 3 |" in page
    assert "| demo | 9.123 | 10 | met | 1 |  |" in page
    assert "Not met: slow." in page
    assert "1 of 2 bars are met" in page
    (tmp_path / "bars.jsonl").write_text("{\n")
    with pytest.raises(ValueError, match=r"bars\.jsonl:1"):
        hooks["newest"](tmp_path / "bars.jsonl")


def test_every_recorded_bar_is_on_the_page() -> None:
    hooks = runpy.run_path(str(ROOT / "infra" / "docs_hooks.py"))
    lines = hooks["newest"]()
    assert {line["issue"] for line in lines} <= set(hooks["TITLES"])
    assert hooks["benchmark_page"](lines).count("\n| ") >= len(lines)


def test_links_of_the_readme_exist() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / name).read_text()):
            assert (ROOT / target).exists(), f"{name} links to {target}"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda p: str(p.relative_to(ROOT / "docs")))
def test_links_of_a_page_exist_in_the_checkout(page: Path) -> None:
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_page_on_deploying_lists_every_deployment_with_its_queue() -> None:
    page = (ROOT / "docs" / "howto" / "deploy.md").read_text()
    rows = re.findall(r"^\| (`.+) \| (\w+) \|", page, flags=re.MULTILINE)
    listed = {name.strip("` "): queue for names, queue in rows for name in names.split(",")}
    assert listed == {d.name: d.queue for d in deployments()}


@pytest.mark.slow
def test_the_python_of_the_page_runs_in_order(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), flags=re.DOTALL)
    assert len(code) >= 5
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "\n".join(code)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "converged" in done.stdout


def test_the_page_on_answers_explains_every_column_and_status() -> None:
    from dao_core.energy.relaxation.settings import RelaxationStatus
    from flows.cli.candidate_table import COLUMNS

    page = (ROOT / "docs" / "reading-an-answer.md").read_text()
    explained = {
        cell.strip() for row in re.findall(r"^\| ([^|]+) \|", page, flags=re.MULTILINE) for cell in row.split(",")
    }
    assert set(COLUMNS) <= explained
    from dao_core.screening.report.files import candidates_table

    columns = re.findall(r"^\| [^|]+ \| ([^|]+) \|", page.partition("## The order")[0], flags=re.MULTILINE)
    named = {name for cell in columns[1:] for name in re.findall(r"`(\w+)`", cell)}
    assert named <= set(candidates_table([]).column_names)
    for status in RelaxationStatus:
        assert str(status) in page or (str(status).startswith("rejected_") and "rejected_..." in page), status
