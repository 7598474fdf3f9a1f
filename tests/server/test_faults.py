"""Accidents on a real site: everything killed at once, silent runs, runs without a process, events that start runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dao_core.artifacts import MANIFEST
from dao_core.crysdb.table import CrysTable
from flows.cli.deploy import HEARTBEAT, crash_on_silence
from tasks.events import EVENTS
from tasks.run_log import read_state
from tests.helpers.small_runs import campaign_settings
from tests.server.conftest import Site
from tests.server.services import ROOT, cli, wait_for

pytestmark = [pytest.mark.server, pytest.mark.slow]


def start(site: Site, name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Start a deployment without waiting for its end; its flow run."""
    deployment = site.api("GET", f"/deployments/name/{name}/{name}")
    body = {"parameters": {"config": config}, "state": {"type": "SCHEDULED"}}
    run: dict[str, Any] = site.api("POST", f"/deployments/{deployment['id']}/create_flow_run", body)
    return run


def state_of(site: Site, run: dict[str, Any]) -> str:
    return str(site.api("GET", f"/flow_runs/{run['id']}")["state_type"])


def manifests(root: Path) -> dict[str, int]:
    return {str(p.parent.name): p.stat().st_mtime_ns for p in root.glob(f"ledger/*/*/{MANIFEST}")}


def test_everything_killed_at_once_and_the_same_command_continues(site: Site, tmp_path: Path) -> None:
    """SIGKILL to the flow, its worker, the server and PostgreSQL in the middle of a campaign."""
    config = campaign_settings(tmp_path)
    root = Path(config["root"])
    first = start(site, "campaign", config)

    def trained() -> bool:
        state = read_state(root)
        return state is not None and state["stages"].get("train DAO-G, stage 1", {}).get("status") == "done"

    wait_for("the first training", trained)
    with contextlib.suppress(ProcessLookupError):
        os.kill(int((read_state(root) or {})["pid"]), signal.SIGKILL)
    for service in (site.worker, site.server, site.database):
        service.kill()
    before = manifests(root)
    assert before
    state = read_state(root)
    assert state is not None
    assert state["status"] == "interrupted"

    for service in (site.database, site.server, site.worker):
        service.start()
    assert state_of(site, first) == "RUNNING"  # nobody was left to say otherwise
    swept = cli(site.server, "flows.cli.main", "runs", "sweep", "--root", str(tmp_path))
    assert swept.returncode == 0, swept.stderr
    assert "1 of the server's running flow runs had no process" in swept.stdout
    assert state_of(site, first) == "CRASHED"

    second = site.run("campaign", config)
    assert second["state_type"] == "COMPLETED", site.worker.log[-3000:]
    after = manifests(root)
    assert {key: after[key] for key in before} == before, "a finished stage was written again"
    state = read_state(root)
    assert state is not None
    assert (state["status"], state["attempts"]) == ("completed", 2)
    counts = state["summary"]["counts"]
    assert counts["n_asked"] == counts["n_ok"] + counts["n_failed"]


@pytest.fixture
def prefect_at_site(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Prefect's client in this process, at the site's server."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("PREFECT_API_URL", site.server.url)
    with temporary_settings({PREFECT_API_URL: site.server.url}):
        yield


@pytest.mark.usefixtures("prefect_at_site")
def test_a_run_without_heartbeat_is_crashed_by_the_server(site: Site) -> None:
    crash_on_silence(10)  # Prefect's shortest; `dao deploy` has made it with 180
    try:
        flow = site.api("POST", "/flows/", {"name": "silent"})
        body = {"flow_id": flow["id"], "state": {"type": "RUNNING"}}
        silent, ended = (site.api("POST", "/flow_runs/", body) for _ in range(2))
        _emit(site, silent, HEARTBEAT)
        _emit(site, ended, HEARTBEAT)
        _emit(site, ended, "prefect.flow-run.Completed")
        wait_for("the automation", lambda: state_of(site, silent) == "CRASHED", 120)
        message = site.api("GET", f"/flow_runs/{silent['id']}")["state"]["message"]
        assert "no heartbeat for 10 s" in message
        assert state_of(site, ended) == "RUNNING"  # it said that it has ended: not the automation's business
    finally:
        crash_on_silence(180)


def _emit(site: Site, run: dict[str, Any], event: str) -> None:
    from datetime import UTC, datetime

    resource = {"prefect.resource.id": f"prefect.flow-run.{run['id']}"}
    body = {"occurred": datetime.now(UTC).isoformat(), "event": event, "resource": resource, "id": str(uuid.uuid4())}
    site.api("POST", "/events", [body])  # type: ignore[arg-type]


ANNOUNCE = """
import sys
from pathlib import Path
from dao_core.artifacts import StageRecord
from tasks.crysdb import announce
from dao_core.crysdb.table import TableRecord
from tasks.prefect_api import flow
from tasks.screening import announce_screening

@flow
def tell(root):
    for _ in range(2):  # a rerun of the same content says nothing new
        announce(TableRecord(f"{root}/table", 3, "content", {}), "crysdb", root)
        announce_screening(StageRecord("rank", "key", root), "screen", f"{root}/candidates.parquet", root)

if __name__ == "__main__":
    tell(sys.argv[1])
"""


def test_events_start_what_waits_for_them(site: Site, tmp_path: Path) -> None:
    """The switch is off by default; on, a table starts the pretraining on it and a ranking its validation, once."""
    names = ("pretrain", "validate-dft")
    before = {name: {r["id"] for r in site.flow_runs(name)} for name in names}

    def new(name: str) -> list[dict[str, Any]]:
        return [r for r in site.flow_runs(name) if r["id"] not in before[name]]

    for queue in ("gpu", "dft"):
        _pause(site, queue, paused=True)  # the runs are looked at, not run
    try:
        _tell(site, tmp_path / "off")
        assert cli(site.server, "flows.cli.main", "deploy", "--chain").returncode == 0
        assert [new(name) for name in names] == [[], []]  # the first telling started nothing
        _tell(site, tmp_path / "on")
        for name in names:
            wait_for(f"the event's run of {name}", lambda name=name: new(name), 120)
        pretraining, validation = new("pretrain"), new("validate-dft")
        assert [r["parameters"]["config"]["table"] for r in pretraining] == [f"{tmp_path}/on/table"]
        found = [r["parameters"]["config"]["candidates"] for r in validation]
        assert found == [f"{tmp_path}/on/candidates.parquet"]
    finally:
        assert cli(site.server, "flows.cli.main", "deploy").returncode == 0
        for run in (r for name in names for r in new(name)):
            site.api("DELETE", f"/flow_runs/{run['id']}")
        for queue in ("gpu", "dft"):
            _pause(site, queue, paused=False)


def _tell(site: Site, root: Path) -> None:
    root.mkdir()
    script = root / "tell.py"
    script.write_text(ANNOUNCE)
    environment = {**os.environ, "PREFECT_API_URL": site.server.url, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script), str(root)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _pause(site: Site, queue: str, *, paused: bool) -> None:
    site.api("PATCH", f"/work_pools/dao/queues/{queue}", {"is_paused": paused})


def test_two_runs_with_equal_inputs_do_the_work_once(site: Site, tmp_path: Path) -> None:
    """The same campaign from two terminals at the same moment: both complete, every stage was worked on once."""
    config = tmp_path / "small.yaml"
    config.write_text(json.dumps(campaign_settings(tmp_path)))
    environment = {**os.environ, "PREFECT_API_URL": site.server.url}
    command = [sys.executable, "-m", "flows.cli.main", "campaign", str(config)]
    logs = [(tmp_path / f"log-{i}").open("w+") for i in range(2)]
    children = [subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT) for log in logs]
    for child, log in zip(children, logs, strict=True):
        child.wait(timeout=500)
        log.seek(0)
        assert child.returncode == 0, log.read()[-3000:]
        log.close()
    root = tmp_path / "run"
    trained = sorted(root.glob("ledger/train-*/*/history.jsonl"))
    assert len(trained) == 3
    for path in trained:
        steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
        assert steps == sorted(set(steps)), f"{path} was written by two trainings"
    assert len(CrysTable(root / "crysdb" / "table").history()) == 2  # the database, and with the relaxed structures
    assert not list(root.glob("ledger/*/*.damaged-*"))
    events = [json.loads(line) for line in (root / EVENTS).read_text().splitlines()]
    done = [e["key"] for e in events if e["message"] == "shard done" and e["stage"] == "relax unstable"]
    assert len(set(done)) == len(list(root.glob(f"ledger/relax-dataset/*/{MANIFEST}")))
