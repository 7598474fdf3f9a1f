from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dao_core.artifacts import StageRecord
from tasks.events import EVENTS
from tasks.run_log import Journal, RunNotFoundError, find_run, find_runs, process_start, read_state


def test_stages_and_events_are_recorded(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "demo", name="demo", command="dao campaign c.yaml")
    record = StageRecord("ingest", "abc", "/x", {"rows": 3})
    assert journal.step("ingest", lambda: record) is record
    with pytest.raises(ValueError, match="broken"), journal.stage("train"):
        raise ValueError("broken")
    journal.finish("failed", error="train: broken")
    state = read_state(tmp_path / "demo")
    assert state is not None
    assert state["stages"]["ingest"]["status"] == "done"
    assert state["stages"]["ingest"]["counts"] == {"rows": 3}
    assert state["stages"]["ingest"]["key"] == "abc"
    assert state["stages"]["train"] | {"seconds": 0, "started": 0} == {
        "status": "failed", "error": "ValueError: broken", "seconds": 0, "started": 0,
    }  # fmt: skip
    events = [json.loads(line) for line in (tmp_path / "demo" / EVENTS).read_text().splitlines()]
    assert [e["message"] for e in events] == [
        "run started", "stage started", "stage done", "stage started", "stage failed", "run failed",
    ]  # fmt: skip
    assert {e["run"] for e in events} == {journal.run_id}


def test_a_second_attempt_keeps_the_id(tmp_path: Path) -> None:
    first = Journal(tmp_path, name="demo", command="x")
    second = Journal(tmp_path, name="demo", command="x")
    assert second.run_id == first.run_id
    assert second.state["attempts"] == 2


def test_a_killed_run_is_interrupted(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from tasks.run_log import Journal\n"
        "Journal(sys.argv[1], name='demo', command='dao campaign c.yaml'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "demo")], check=False, timeout=60)
    state = read_state(tmp_path / "demo")
    assert state is not None
    assert state["status"] == "interrupted"


def test_a_running_one_is_running_until_its_pid_means_another_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path, name="demo", command="x")
    assert read_state(tmp_path)["status"] == "running"  # type: ignore[index]
    journal.state["pid_started"] = "1"  # the number was given to another process since
    journal.finish("running")
    assert read_state(tmp_path)["status"] == "interrupted"  # type: ignore[index]


def test_process_start_tells_the_living_from_the_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process_start(child.pid) is not None
    child.kill()
    child.wait()
    assert process_start(child.pid) is None
    assert process_start(os.getpid()) is not None


def test_runs_are_found_by_id_or_beginning(tmp_path: Path) -> None:
    one = Journal(tmp_path / "one", name="one", command="x")
    Journal(tmp_path / "two", name="two", command="x")
    assert len(find_runs(tmp_path)) == 2
    assert find_run(tmp_path, one.run_id)[0] == tmp_path / "one"
    assert find_run(tmp_path, "two")[1]["name"] == "two"
    with pytest.raises(RunNotFoundError, match="no run 'x'"):
        find_run(tmp_path, "x")
    with pytest.raises(RunNotFoundError, match="more than one"):
        find_run(tmp_path, "")


def test_a_damaged_journal_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "run.json").write_text("{")
    assert find_runs(tmp_path) == []
