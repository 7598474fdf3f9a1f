"""The README: every command runs as typed, in order, in one folder; its Python too; and what it names exists."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helpers.page_examples import environment

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PSEUDOPOTENTIALS = Path("~/.local/share/dao/pseudopotentials").expanduser()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    """Lines of the shell blocks, in order; the one about the path belongs to the test's own environment."""
    lines = [line.strip() for block in blocks("bash") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("export PATH")]


@pytest.mark.slow
def test_every_command_runs_as_typed_and_in_order(tmp_path: Path) -> None:
    """Those of Quantum ESPRESSO where it is installed with its pseudopotentials; fetching those needs a network."""
    can_validate = shutil.which("pw.x") is not None and PSEUDOPOTENTIALS.is_dir()
    typed = [c for c in commands() if can_validate or not c.startswith("dao validate")]
    assert len(typed) >= 6
    known = environment(tmp_path)
    for command in typed:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=known, capture_output=True, text=True, check=False, timeout=900
        )
        # on a slow machine the time limit of `dao predict` ends before a relaxation, and the command says so
        good = done.returncode == 0 or "not relaxed within" in done.stdout
        assert good, f"{command}\n{done.stdout[-1000:]}\n{done.stderr[-1000:]}"
        assert "Traceback" not in done.stderr
    assert (tmp_path / "srtio3" / "index.html").exists()
    assert list((tmp_path / "srtio3").glob("001_SrTiO3_*.cif"))


@pytest.mark.slow
def test_the_python_runs(tmp_path: Path) -> None:
    (code,) = blocks("python")
    assert len(code.strip().splitlines()) == 2
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=True)
    assert "NaCl" in done.stdout
    assert "225" in done.stdout


def test_the_make_targets_exist() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    named = re.findall(r"\bmake ([a-z]+)", README)
    assert set(named) - {"puts"} <= set(targets)


def test_the_workflow_and_the_citation_say_what_the_package_says() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    pythons = workflow["jobs"]["tests"]["strategy"]["matrix"]["python"]
    classified = [
        c.rpartition(" ")[2] for c in project["classifiers"] if c.startswith("Programming Language :: Python")
    ]
    assert pythons == classified == workflow["jobs"]["wheel"]["strategy"]["matrix"]["python"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()
