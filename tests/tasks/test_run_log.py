from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from dao_core.artifacts import ForeignFileError, StageRecord
from dao_core.crysdb.config import BuildConfig
from dao_core.energy.relaxation.settings import RelaxSettings
from flows.cli.errors import fail
from tasks.events import EVENTS
from tasks.run_log import RunLog, RunNotFoundError, find_run, find_runs, read_state, record_command


def test_stages_and_events_are_recorded(tmp_path: Path) -> None:
    run = RunLog(tmp_path / "demo", name="demo", command="dao campaign c.yaml")
    record = StageRecord("ingest", "abc", "/x", {"rows": 3})
    assert run.step("ingest", lambda: record) is record
    with pytest.raises(ValueError, match="broken"), run.stage("train"):
        raise ValueError("broken")
    run.finish("failed", error="train: broken")
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
    assert {e["run"] for e in events} == {run.run_id}


def test_a_second_attempt_keeps_the_id(tmp_path: Path) -> None:
    first = RunLog(tmp_path, name="demo", command="x")
    second = RunLog(tmp_path, name="demo", command="x")
    assert second.run_id == first.run_id
    assert second.state["attempts"] == 2


def test_a_killed_run_is_interrupted(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from tasks.run_log import RunLog\n"
        "RunLog(sys.argv[1], name='demo', command='dao campaign c.yaml'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "demo")], check=False, timeout=60)
    state = read_state(tmp_path / "demo")
    assert state is not None
    assert state["status"] == "interrupted"


def test_a_running_one_is_running_until_its_pid_means_another_process(tmp_path: Path) -> None:
    run = RunLog(tmp_path, name="demo", command="x")
    assert read_state(tmp_path)["status"] == "running"  # type: ignore[index]
    run.state["pid_started"] = "1"  # the number was given to another process since
    run.finish("running")
    assert read_state(tmp_path)["status"] == "interrupted"  # type: ignore[index]


OTHER = """
import sys
from tasks.run_log import RunLog
run = RunLog(sys.argv[1], name="db", command="rebuild")
print("began", flush=True)
input()
run.finish("completed", summary={"version": 3})
"""


def at_work(root: Path) -> subprocess.Popen[str]:
    """Another process whose run in the folder has begun; it ends on a line of input."""
    command = [sys.executable, "-c", OTHER, str(root)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "began\n"
    return other


def test_a_second_run_in_a_folder_leaves_the_state_of_the_first(tmp_path: Path) -> None:
    root = tmp_path / "db"
    first = at_work(root)
    rebuilding = read_state(root)
    second = RunLog(root, name="db", command="update")
    with second.stage("update CrysDB"):
        assert read_state(root) == rebuilding
    states = {state["command"]: state for folder, state in find_runs(tmp_path) if folder == root}
    assert {name: state["status"] for name, state in states.items()} == {"rebuild": "running", "update": "running"}
    assert states["update"]["id"] == second.run_id != states["rebuild"]["id"]
    first.communicate("\n", timeout=60)
    assert find_run(tmp_path, second.run_id)[1]["status"] == "running"
    assert find_run(tmp_path, states["rebuild"]["id"])[1]["status"] == "completed"
    second.finish("failed", error="the server is gone")
    assert read_state(root)["summary"]["version"] == 3  # type: ignore[index]
    events = [json.loads(line) for line in (root / EVENTS).read_text().splitlines()]
    assert {event["run"] for event in events} == {state["id"] for state in states.values()}
    RunLog(root, name="db", command="update").finish("completed")  # nobody else works now: it takes the usual place
    ((_, state),) = find_runs(tmp_path)
    assert (state["command"], state["status"]) == ("update", "completed")
    assert sorted(p.name for p in root.iterdir()) == [EVENTS, "heartbeat", "metrics.prom", "run.json"]


def test_two_commands_in_a_folder_have_a_state_each(tmp_path: Path) -> None:
    root = tmp_path / "out"
    first = at_work(root)
    with pytest.raises(ValueError, match="no such cell"), record_command(root, "predict-KCl"):
        raise ValueError("no such cell")
    assert read_state(root)["status"] == "running"  # type: ignore[index]
    first.communicate("\n", timeout=60)
    assert [state["status"] for _, state in find_runs(tmp_path) if state["name"] == "predict-KCl"] == ["failed"]


def test_runs_are_found_by_id_or_beginning(tmp_path: Path) -> None:
    one = RunLog(tmp_path / "one", name="one", command="x")
    RunLog(tmp_path / "two", name="two", command="x")
    assert len(find_runs(tmp_path)) == 2
    assert find_run(tmp_path, one.run_id)[0] == tmp_path / "one"
    assert find_run(tmp_path, "two")[1]["name"] == "two"
    with pytest.raises(RunNotFoundError, match="no run 'x'"):
        find_run(tmp_path, "x")
    with pytest.raises(RunNotFoundError, match="more than one"):
        find_run(tmp_path, "")


def test_a_damaged_run_log_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    other = {"id": "x", "name": "x", "command": "c", "status": "running", "pid": None}
    foreign = [{**other, "stages": ["relax"]}, {**other, "stages": {"relax": "done"}}]
    for text in ("{", "[1]", '{"a": 1}', *map(json.dumps, foreign)):
        (tmp_path / "a" / "run.json").write_text(text)
        assert find_runs(tmp_path) == []
    (tmp_path / "a" / "run.json").write_text(json.dumps(other))
    assert [state["status"] for _, state in find_runs(tmp_path)] == ["interrupted"]


def test_a_foreign_state_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"simulation": 7}')
    with pytest.raises(ForeignFileError, match=r"run\.json is not of this program: move it away, or name another"):
        RunLog(tmp_path, name="flow", command="x")
    with pytest.raises(ForeignFileError), record_command(tmp_path, "predict-NaCl"):
        pytest.fail("the work began")
    assert (tmp_path / "run.json").read_text() == '{"simulation": 7}'
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_a_command_is_listed_with_its_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/dao", "predict", "Ca(OH)2", "--out", "out"])
    with record_command(tmp_path / "good", "predict-CaO2H2") as run:
        assert read_state(tmp_path / "good")["status"] == "running"  # type: ignore[index]
        with run.stage("relax") as entry:
            entry["counts"] = {"n_ok": 3}
    with pytest.raises(ValueError, match="no model"), record_command(tmp_path / "bad", "predict-X"):
        raise ValueError("no model")
    with pytest.raises(KeyboardInterrupt), record_command(tmp_path / "stopped", "predict-Y"):
        raise KeyboardInterrupt
    states = {state["name"]: state for _, state in find_runs(tmp_path)}
    good, bad = states["predict-CaO2H2"], states["predict-X"]
    assert (good["status"], good["stages"]["relax"]["counts"]) == ("completed", {"n_ok": 3})
    assert good["command"] == "dao predict 'Ca(OH)2' --out out"
    assert (bad["status"], bad["error"]) == ("failed", "ValueError: no model")
    assert states["predict-Y"]["status"] == "running"  # until this process has ended: then it is interrupted
    assert [p.name for p in (tmp_path / "good").iterdir()] == ["run.json"]


def test_a_failure_leaves_the_finished_run_of_another_question(tmp_path: Path) -> None:
    with record_command(tmp_path, "predict-NaCl"):
        pass
    finished = read_state(tmp_path)
    with pytest.raises(ValueError, match="no such cell"), record_command(tmp_path, "predict-KCl"):
        raise ValueError("no such cell")
    state = read_state(tmp_path)
    assert state is not None
    failed = state.pop("failed_since")
    assert state == finished
    assert (failed["name"], failed["error"]) == ("predict-KCl", "ValueError: no such cell")
    with pytest.raises(ValueError, match="again"), record_command(tmp_path, "predict-NaCl"):
        raise ValueError("again")
    own = read_state(tmp_path)
    assert own is not None
    assert own["status"] == "failed"


def test_a_finished_run_of_the_same_name_is_known_by_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["dao", "screen", "NaCl", "--out", "sc"])
    with record_command(tmp_path, "screen"):
        pass
    finished = read_state(tmp_path)
    monkeypatch.setattr("sys.argv", ["dao", "screen", "MgO", "--pressure", "5000", "--out", "sc"])
    for reason in ("no such pressure", "nor today"):
        with pytest.raises(ValueError, match=reason), record_command(tmp_path, "screen"):
            raise ValueError(reason)
        state = read_state(tmp_path)
        assert state is not None
        failed = state.pop("failed_since")
        assert state == finished
        assert failed["command"] == "dao screen MgO --pressure 5000 --out sc"
        assert failed["error"] == f"ValueError: {reason}"


def test_why_a_run_failed_is_what_the_terminal_says(tmp_path: Path) -> None:
    planted = "planted-0123456789abcdef"
    with pytest.raises(SystemExit), record_command(tmp_path / "refused", "screen") as run, run.stage("check"):
        fail("--crysdb x has no table:\nbuild one")
    with pytest.raises(ValidationError), record_command(tmp_path / "settings", "screen"):
        BuildConfig.model_validate({"sources": [{"kind": "materials_project", "api_key": [planted], "bogus": 1}]})
    log = RunLog(tmp_path / "flow", name="flow", command="x")
    with pytest.raises(ValidationError), log.watch(), log.stage("check"):
        RelaxSettings.model_validate({"fmax": -1})
    refused, settings, flow = (read_state(tmp_path / name) for name in ("refused", "settings", "flow"))
    assert refused is not None
    assert refused["error"] == "--crysdb x has no table: build one"
    assert (refused["stages"]["check"]["status"], refused["stages"]["check"]["error"]) == ("failed", refused["error"])
    assert settings is not None
    assert settings["error"].startswith("settings: sources.0")
    assert flow is not None
    assert flow["error"] == "settings: fmax: Input should be greater than 0, got -1"
    assert flow["stages"]["check"]["error"] == flow["error"]
    written = "".join(path.read_text() for path in tmp_path.rglob("*.json*"))
    assert planted not in written
    assert "pydantic.dev" not in written


def test_a_command_without_output_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with record_command(None, "predict-NaCl") as run, run.stage("relax"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_cannot_be_made_stops_the_command_before_its_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), record_command(tmp_path / "file" / "out", "predict-NaCl"):
        pytest.fail("the work began")


def test_without_a_root_runs_here_and_below_runs_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("nacl", "runs/a", "runs/b/c", "runs/b/c/d", "other/e", "other/e/f"):
        RunLog(folder, name=folder.replace("/", "-"), command="x")
    assert sorted(state["name"] for _, state in find_runs()) == ["nacl", "other-e", "runs-a", "runs-b-c"]


def test_a_state_of_the_release_before_is_read(tmp_path: Path) -> None:
    """As b90917e wrote it."""
    state = {
        "id": "demo-0a1b2c", "name": "demo", "command": "dao campaign c.yaml", "attempts": 1, "status": "running",
        "host": "elsewhere", "pid": 1, "pid_started": "5", "flow_run_id": None, "started": "2026-11-22T10:00:00+00:00",
        "stages": {"ingest": {"status": "done", "seconds": 1.0, "counts": {"rows": 3}, "key": "abc", "path": "/x"}},
    }  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(state))
    assert read_state(tmp_path)["status"] == "interrupted"  # type: ignore[index]
    assert RunLog(tmp_path, name="demo", command="dao campaign c.yaml").state["attempts"] == 2
