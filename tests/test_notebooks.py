"""The notebooks of the documentation run from the first cell to the last; what stops one is said in words."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers.page_examples import environment

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "docs" / "notebooks"


@pytest.fixture(scope="module")
def runner() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "infra" / "run_notebooks.py")))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose kernel finds this checkout's `dao`, and no pw.x: the step of first principles is skipped."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def printed(notebook: Any) -> str:
    return "".join(str(out.get("text", "")) for cell in notebook.cells for out in cell.get("outputs", ()))


@pytest.mark.slow
def test_from_a_formula(runner: SimpleNamespace, folder: Path) -> None:
    done = runner.run_notebook(NOTEBOOKS / "from_a_formula.ipynb", folder)
    assert "225 template converged" in printed(done)
    assert "skipped: this step needs pw.x" in printed(done)
    assert any("text/html" in out.get("data", {}) for cell in done.cells for out in cell.get("outputs", ()))
    assert (folder / "mgo" / "index.html").exists()


@pytest.mark.slow
def test_your_own_data(runner: SimpleNamespace, folder: Path) -> None:
    said = printed(runner.run_notebook(NOTEBOOKS / "your_own_data.ipynb", folder))
    errors = dict(re.findall(r"^\s*(mean of the training rows|fine-tuned)\s+([\d.]+)", said, flags=re.MULTILINE))
    assert float(errors["fine-tuned"]) < 0.5 * float(errors["mean of the training rows"])


def notebook(tmp_path: Path, code: str, kernel: str = "python3") -> Path:
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": code, "outputs": [], "execution_count": None}
    metadata = {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_a_notebook_without_its_kernel_says_what_to_install(runner: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(runner.NotebookError, match=r"needs the Jupyter kernel no-such, .* pip install ipykernel"):
        runner.run_notebook(notebook(tmp_path, "1", kernel="no-such"), tmp_path)


def test_a_cell_that_fails_is_one_line(runner: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(runner.NotebookError, match=r"^a.ipynb: a cell failed: KeyError: 'x'$"):
        runner.run_notebook(notebook(tmp_path, "{}['x']"), tmp_path)


def test_the_notebooks_are_kept_without_outputs() -> None:
    """Outputs would go stale; the pages of the tutorials show them, and a test compares those."""
    for path in NOTEBOOKS.glob("*.ipynb"):
        assert all(not cell.get("outputs") for cell in json.loads(path.read_text())["cells"]), path.name
