"""The campaign as a user runs it: a real process, killed with SIGKILL in the middle, and the same command again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dao_core.artifacts import MANIFEST, verify
from tasks.run_log import read_state
from tests.helpers.small_runs import campaign_settings

pytestmark = pytest.mark.slow


def start(config: Path) -> subprocess.Popen[str]:
    """The command in a process group of its own, so that a kill takes Prefect's ephemeral server with it."""
    command = [sys.executable, "-m", "flows.cli.main", "campaign", str(config)]
    environment = {**os.environ, "PREFECT_HOME": str(config.parent / "prefect"), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, env=environment
    )


def run_until(config: Path, line: str) -> None:
    """Kill the whole group when the log shows `line`."""
    child = start(config)
    assert child.stdout is not None
    seen = []
    for text in child.stdout:
        seen.append(text)
        if line in text:
            os.killpg(child.pid, signal.SIGKILL)
            break
    child.wait()
    assert child.returncode == -signal.SIGKILL, "".join(seen)


def manifests(root: Path) -> dict[str, int]:
    """Every finished stage and when its manifest was written."""
    found = root.glob(f"ledger/*/*/{MANIFEST}")
    return {str(p.parent.relative_to(root)): p.stat().st_mtime_ns for p in found}


def test_killed_and_continued_without_repeating_anything(tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    config.write_text(yaml.safe_dump(campaign_settings(tmp_path)))
    root = tmp_path / "run"

    run_until(config, "relax unstable")
    before = manifests(root)
    state = read_state(root)
    assert state is not None
    assert state["status"] == "interrupted"
    assert {name.split("/")[1] for name in before} >= {"crysdb", "train-generator", "train-predictor"}

    child = start(config)
    out, _ = child.communicate(timeout=900)
    assert child.returncode == 0, out
    after = manifests(root)
    assert {name: after[name] for name in before} == before, "a finished stage was written again"
    for name in after:
        verify(root / name)
    state = read_state(root)
    assert state is not None
    assert (state["status"], state["attempts"]) == ("completed", 2)
    counts = state["summary"]["counts"]
    assert counts["n_asked"] == counts["n_ok"] + counts["n_failed"]
    assert "<html" in (root / "report" / "index.html").read_text()[:200]
    assert list((root / "report").glob("001_*.cif"))
    events = [json.loads(line) for line in (root / "events.jsonl").read_text().splitlines()]
    assert events[-1]["message"] == "run completed"
    assert not list(root.rglob("*.tmp-*"))
