"""The start of `dao` with somebody else's `flows`, `tasks` or `configs` in front of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dao_core.command import NAMES, foreign_packages

ROOT = Path(__file__).resolve().parents[1]


def start(first: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`dao` as its console script starts it, with a folder in front of the path."""
    code = "from dao_core.command import main; main()"
    environment = {**os.environ, "PYTHONPATH": f"{first}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=first,
        check=False,
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["package", "module"])
def test_a_foreign_package_in_front_is_named(tmp_path: Path, name: str, form: str) -> None:
    foreign = tmp_path / name / "__init__.py" if form == "package" else tmp_path / f"{name}.py"
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("raise RuntimeError('imported')\n")
    done = start(tmp_path, "--help")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"{name} is {tmp_path}" in done.stderr
    assert "environment of its own" in done.stderr


def test_a_folder_without_code_hides_nothing(tmp_path: Path) -> None:
    """A namespace package gives way to a regular one, wherever that stands."""
    (tmp_path / "flows").mkdir()
    done = start(tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    assert "predict" in done.stdout


def test_here_they_are_our_own() -> None:
    assert foreign_packages() == {}


def test_the_console_script_begins_with_the_check() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"dao": "dao_core.command:main"}
