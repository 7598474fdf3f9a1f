"""`infra/setup.sh` says in one line what is missing, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("bash", "awk", "sed", "df", "mkdir", "grep", "tail", "touch", "dirname", "uname")


def setup(tmp_path: Path, *, tools: tuple[str, ...] = TOOLS, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script with nothing but some system tools on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in tools:
        found = shutil.which(tool)
        assert found is not None
        (folder / tool).symlink_to(found)
    command = ["bash", "infra/setup.sh", str(tmp_path / "venv"), "all"]
    bare = {"PATH": str(folder), "HOME": str(tmp_path), **environment}
    return subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, text=True, timeout=120, check=False)


def test_no_python(tmp_path: Path) -> None:
    result = setup(tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("set-up: no Python 3.11, 3.12 or 3.13 with venv found: install it")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "venv").exists()


def test_a_python_that_is_named_is_taken_or_refused_and_never_replaced(tmp_path: Path) -> None:
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    result = setup(tmp_path, tools=(*TOOLS, "python3"), PYTHON=str(old))
    assert result.returncode == 2
    assert result.stderr == f"set-up: PYTHON={old} is no Python 3.11, 3.12 or 3.13 with venv: name another one\n"
    assert not (tmp_path / "venv").exists()


def test_an_environment_of_another_python_is_not_used_in_its_place(tmp_path: Path) -> None:
    """The version that is asked for and the one that is there differ: neither is taken silently."""
    for name, minor in (("venv/bin/python", 11), ("python-new", 13)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho 3.{minor}\n")
        path.chmod(0o755)
    asked = tmp_path / "python-new"
    result = setup(tmp_path, PYTHON=str(asked))
    assert result.returncode == 2
    venv = tmp_path / "venv"
    assert result.stderr == (
        f"set-up: {venv} is Python 3.11 and PYTHON={asked} is not: remove {venv}, or set VENV=another/folder\n"
    )


def test_a_python_that_is_named_is_the_one_of_the_environment(tmp_path: Path) -> None:
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0",
               "PIP_TIMEOUT": "2", "TORCH_INDEX": "http://127.0.0.1:9/whl"}  # fmt: skip
    assert setup(tmp_path, PYTHON=sys.executable, **offline).returncode == 2  # after the environment was made
    made = (tmp_path / "venv" / "pyvenv.cfg").read_text()
    assert f"version = {sys.version_info[0]}.{sys.version_info[1]}." in made


def test_no_disk(tmp_path: Path) -> None:
    result = setup(tmp_path, PYTHON=sys.executable, DAO_NEEDED_GB="1000000")
    assert result.returncode == 2
    assert "GB free where 1000000 GB are needed: free space" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir(mode=0o500)
    result = setup(tmp_path, PYTHON=sys.executable)
    assert result.returncode == 2


def test_no_network(tmp_path: Path) -> None:
    offline = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_RETRIES": "0",
        "PIP_TIMEOUT": "2",
        "TORCH_INDEX": "http://127.0.0.1:9/whl",
    }
    result = setup(tmp_path, PYTHON=sys.executable, **offline)
    assert result.returncode == 2
    assert "set-up: no network: the package index could not be reached" in result.stderr
    assert not (tmp_path / "venv" / ".installed").exists()


def test_every_file_that_the_package_reads_is_in_its_wheel() -> None:
    """A room that begins to read files of its own would work here and fail where it is installed."""
    import tomllib

    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["dao_core"]
    folder = ROOT / "dao_core"
    shipped = {path for pattern in patterns for path in folder.glob(pattern)}
    files = {p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    assert files - shipped == set()
