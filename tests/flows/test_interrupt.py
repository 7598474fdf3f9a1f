"""Ctrl-C and SIGTERM while pw.x works: the calculation and the flow end at once, and the run can be continued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from dao_core.dft.launch.local import PID_FILE
from dao_core.screening.candidate import new_candidate
from dao_core.screening.ranking import rank
from dao_core.screening.report.files import write_files
from tasks.events import EVENTS
from tasks.run_log import read_state
from tests.dft.conftest import library
from tests.helpers.fake_pw import silicon

pytestmark = pytest.mark.slow
__all__ = ["library"]  # the fixture

SCRIPT = """
import sys
from flows.cli.errors import interruptible
from flows.validate import validate_dft
from tasks.config import ValidateConfig, load_config

if __name__ == "__main__":
    with interruptible("the same command continues"):
        validate_dft(load_config(sys.argv[1], ValidateConfig), "dao again")
"""
PW = "#!/bin/sh\ntrap '' INT\necho '     Program PWSCF v.6.7'\nsleep 1000 & wait\n"  # as under mpirun: deaf to Ctrl-C


def start(tmp_path: Path, pseudo: Path) -> subprocess.Popen[str]:
    """The flow in a session of its own, as a terminal starts it, with a pw.x that works for a quarter of an hour."""
    best = new_candidate("si", silicon(), origin="test", energy_per_atom=-1.0, relaxation_status="converged")
    write_files(rank([best]), tmp_path / "report")
    pw = tmp_path / "pw"
    pw.write_text(PW)
    pw.chmod(0o755)
    dft = {"command": str(pw), "pseudo_dir": str(pseudo), "elements": False, "min_free_bytes": 0}
    config = {"name": "v", "root": str(tmp_path / "run"), "candidates": str(tmp_path / "report" / "candidates.parquet"),
              "handoff": {"when": "always", "settings": dft}}  # fmt: skip
    (tmp_path / "v.yaml").write_text(json.dumps(config))
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(Path(__file__).parents[2])}
    with (tmp_path / "log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "v.yaml")], stdout=log, stderr=log, text=True,
            env=environment, start_new_session=True,
        )  # fmt: skip


def pw_process(tmp_path: Path, child: subprocess.Popen[str]) -> psutil.Process:
    """The process of pw.x as soon as there is one."""
    while child.poll() is None:
        for path in (tmp_path / "run").rglob(PID_FILE):
            if text := path.read_text():
                return psutil.Process(int(text))
        os.sched_yield()
    raise AssertionError((tmp_path / "log").read_text())


@pytest.mark.parametrize("how", ["ctrl-c", "sigterm"])
def test_nothing_is_left_running(tmp_path: Path, library: object, how: str) -> None:
    child = start(tmp_path, library.folder)  # type: ignore[attr-defined]
    pw = pw_process(tmp_path, child)
    if how == "ctrl-c":
        os.killpg(child.pid, signal.SIGINT)
    else:
        child.send_signal(signal.SIGTERM)
    child.wait(timeout=60)  # it would sleep for 1,000 s
    psutil.wait_procs([pw], timeout=5)
    assert not pw.is_running() or pw.status() == psutil.STATUS_ZOMBIE
    log = (tmp_path / "log").read_text()
    assert child.returncode != 0, log
    assert child.returncode == (143 if how == "sigterm" else 130), log
    assert "stopped; the same command continues" in log
    assert [p for p in psutil.process_iter(["environ"]) if str(tmp_path) in str(p.info["environ"])] == []
    state = read_state(tmp_path / "run")
    assert state is not None
    assert state["status"] == "interrupted"
    events = [json.loads(line)["message"] for line in (tmp_path / "run" / EVENTS).read_text().splitlines()]
    assert events[-1] == "run interrupted"
