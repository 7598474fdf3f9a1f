"""The flow of a screening, as a process of its own: what its budget leaves undone is handed to nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dao_core.dft.pseudo.library import PseudoLibrary
from tasks.run_log import read_state
from tests.dft.conftest import library

pytestmark = pytest.mark.slow
__all__ = ["library"]  # the fixture

SCRIPT = """
import sys
from flows.screen import screen_candidates
from tasks.config import ScreenConfig, load_config

if __name__ == "__main__":
    screen_candidates(load_config(sys.argv[1], ScreenConfig), "dao again")
"""


def test_a_search_in_which_nothing_was_relaxed_sends_nothing_to_pw_x(tmp_path: Path, library: PseudoLibrary) -> None:
    pw = tmp_path / "pw.x"
    pw.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\necho '     Program PWSCF v.6.7'\n")
    pw.chmod(0o755)
    dft = {"command": str(pw), "pseudo_dir": str(library.folder), "elements": False, "min_free_bytes": 0}
    config = {
        "name": "silicon", "root": str(tmp_path / "run"), "formulas": ["Si"],
        "models": {"generator": "none", "judge": "none", "library": "none"}, "search": {"budget_seconds": 1e-6},
        "handoff": {"when": "always", "settings": dft},
    }  # fmt: skip
    (tmp_path / "s.yaml").write_text(json.dumps(config))
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "s.yaml")], env=environment, text=True,
        capture_output=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    state = read_state(tmp_path / "run")
    assert state is not None
    assert state["status"] == "completed"
    assert state["summary"]["pw.x"] == []
    assert state["summary"]["counts"]["n_ok"] > 0
    assert not (tmp_path / "asked").exists()
    assert (tmp_path / "run" / "report" / "index.html").is_file()
