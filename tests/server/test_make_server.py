"""`make server` as a person starts it: server on PostgreSQL, deployments, worker; Ctrl-C ends all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from flows.deployments import deployments
from tests.server.services import ROOT, Postgres, free_port, running, wait_for

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_it_starts_and_ends(tmp_path: Path) -> None:
    database, port = Postgres(tmp_path), free_port()
    environment = {**os.environ, "DAO_DATABASE_URL": database.url, "DAO_PORT": str(port), "DAO_CHAIN": "1",
                   "PREFECT_HOME": str(tmp_path / "home")}  # fmt: skip
    environment.pop("PREFECT_API_URL", None)
    command = ["bash", "infra/server.sh", str(Path(sys.executable).parent)]
    log = tmp_path / "log"
    with running(database), log.open("w") as out:
        child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True)
        try:
            wait_for("the worker", lambda: "Worker" in log.read_text() and "started" in log.read_text(), alive=child)
            api = f"http://127.0.0.1:{port}/api"
            assert f"PREFECT_API_URL={api}" in log.read_text()
            known = httpx.post(f"{api}/deployments/filter", json={}, timeout=30).json()
            assert {d["name"] for d in known} == {d.name for d in deployments()}
            crons = {d["name"]: [s["schedule"]["cron"] for s in d["schedules"]] for d in known if d["schedules"]}
            assert crons == {d.name: [d.cron] for d in deployments() if d.cron}
            automations = httpx.post(f"{api}/automations/filter", json={}, timeout=30).json()
            assert sum(a["enabled"] for a in automations) == 3  # two events that start runs, and silence
            queues = httpx.post(f"{api}/work_pools/dao/queues/filter", json={}, timeout=30).json()
            assert {q["name"] for q in queues} >= {"default", "gpu", "dft"}
            os.killpg(child.pid, signal.SIGINT)  # Ctrl-C
            child.wait(timeout=90)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        left = [p for p in psutil.process_iter(["environ"]) if f"'DAO_PORT': '{port}'" in str(p.info["environ"])]
        assert left == [], log.read_text()[-2000:]
