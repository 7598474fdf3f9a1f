"""`dao status` and `dao runs show`: what a person reads off a running, a killed, a failed and a finished run."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.cli.console import live_progress
from flows.cli.runs import show, status
from tasks.progress import Progress, listeners
from tasks.run_log import HEARTBEAT, SILENT_SECONDS, STATE, RunLog, read_state, record_command


def test_status_tells_what_runs_and_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running = RunLog(tmp_path / "a", name="running", command="dao campaign a.yaml")
    with running.stage("relax unstable"):
        Progress(tmp_path / "a", "relax unstable", 8).update(8)
        failed = RunLog(tmp_path / "b", name="failed", command="dao campaign b.yaml")
        with pytest.raises(ValueError, match="no data"), failed.watch(), failed.stage("train"):
            raise ValueError("no data")
        status(tmp_path)
    out = capsys.readouterr().out
    assert "8/8 shards, 0 s left" in out
    assert "ValueError: no data" in out
    assert f"{failed.run_id}, to continue: dao campaign b.yaml" in out
    assert f"{running.run_id}, to" not in out
    show(failed.run_id, tmp_path)
    shown = capsys.readouterr().out
    assert "failed: ValueError: no data" in shown
    assert "to continue: dao campaign b.yaml" in shown


def test_what_keeps_nothing_is_to_be_started_again_where_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (there := tmp_path / "my work").mkdir()
    monkeypatch.chdir(there)
    for command in ("predict", "screen"):
        monkeypatch.setattr("sys.argv", ["dao", command, "NaCl", "--out", command])
        with pytest.raises(ValueError, match="no model"), record_command(Path(command), f"{command}-NaCl"):
            raise ValueError("no model")
    status()
    out = capsys.readouterr().out
    assert ", to start again: dao predict NaCl --out predict\n" in out
    assert ", to continue: dao screen NaCl --out screen\n" in out
    monkeypatch.chdir(tmp_path)
    show("predict-NaCl", there)
    assert f"to start again: cd '{there}' && dao predict NaCl --out predict\n" in capsys.readouterr().out


def test_a_broken_state_is_listed_and_somebody_elses_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("cut", '{"id": "demo'), ("empty", ""), ("foreign", '{"simulation": 7}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / STATE).write_text(text)
    (tmp_path / "bytes").mkdir()
    (tmp_path / "bytes" / STATE).write_bytes(b'{"id": "\xe9"}')
    status(tmp_path)
    out = " ".join(capsys.readouterr().out.split())
    assert out.count(" unreadable ") == 3
    assert out.count("run.json can't be read (") == 3
    for name, listed in (("cut", True), ("empty", True), ("bytes", True), ("foreign", False)):
        assert (str(tmp_path / name) in out) is listed


def test_no_runs_say_how_to_start_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status(tmp_path)
    assert "dao campaign configs/campaign-demo.yaml" in capsys.readouterr().out
    (tmp_path / "file").touch()
    for name, reason in (("file", "is a file"), ("missing", "is not there")):
        with pytest.raises(SystemExit) as stop:
            status(tmp_path / name)
        assert stop.value.code == 2
        assert reason in capsys.readouterr().err


def test_a_run_on_another_machine_lives_by_its_heartbeat(tmp_path: Path) -> None:
    RunLog(tmp_path, name="far", command="x")
    state = json.loads((tmp_path / STATE).read_text())
    assert state["host"] == platform.node()
    (tmp_path / STATE).write_text(json.dumps({**state, "host": "elsewhere", "pid": 1, "pid_started": "0"}))
    assert read_state(tmp_path)["status"] == "running"  # type: ignore[index]
    long_ago = time.time() - SILENT_SECONDS - 1
    os.utime(tmp_path / HEARTBEAT, (long_ago, long_ago))
    assert read_state(tmp_path)["status"] == "interrupted"  # type: ignore[index]


def test_status_does_without_prefect(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from flows.cli.runs import status\n"
        "status(Path(sys.argv[1])); print([m for m in ('prefect', 'torch', 'pymatgen') if m in sys.modules])"
    )
    RunLog(tmp_path / "a", name="a", command="x").finish("completed")
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True).stdout
    assert out.strip().endswith("[]"), out


BAR = """
import sys
from pathlib import Path
from flows.cli.console import live_progress
from tasks.progress import Progress
with live_progress():
    p = Progress(Path(sys.argv[1]), "train DAO-G", 100, "%")
    p.start_at(40)
    p.update(50, "loss 0.5")
    import logging, rich.console
    print("a line")
    p.close()
"""


def test_a_terminal_gets_a_bar_and_a_file_does_not(tmp_path: Path) -> None:
    import pty

    with live_progress():  # pytest's stderr is no terminal
        assert listeners == []
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    child = subprocess.Popen(
        [sys.executable, "-c", BAR, str(tmp_path)], stderr=follower, stdout=follower, env=environment
    )
    os.close(follower)
    text = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part
    assert child.wait() == 0, text
    said = text.decode()
    assert "train DAO-G" in said
    assert "50 %" in said
    assert "loss 0.5" in said
    assert "s left" in said
    assert "a line" in said
