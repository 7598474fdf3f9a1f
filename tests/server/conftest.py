"""One PostgreSQL, one server and one worker for all tests here: starting them takes a minute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.server.services import Postgres, Server, Worker, cli, running


@dataclass
class Site:
    """Where flows run as in production: database, server, worker, and the folder of their data."""

    folder: Path
    database: Postgres
    server: Server
    worker: Worker

    def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One request to the server. Raises httpx.HTTPError."""
        import httpx

        answer = httpx.request(method, self.server.url + path, json=body, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def run(self, name: str, config: dict[str, Any], *, timeout: float = 500) -> dict[str, Any]:
        """Start a deployment from the command line and wait for its end, as a user does; the flow run."""
        import json

        flow = f"{name}/{name}"
        done = cli(
            self.server, "prefect", "deployment", "run", flow, "--params", json.dumps({"config": config}), "--watch",
            timeout=timeout,
        )  # fmt: skip
        runs = self.flow_runs(name)
        assert runs, done.stdout + done.stderr
        return runs[0]

    def flow_runs(self, name: str) -> list[dict[str, Any]]:
        """Runs of a deployment, newest first."""
        body = {"deployments": {"name": {"any_": [name]}}, "sort": "EXPECTED_START_TIME_DESC"}
        runs: list[dict[str, Any]] = self.api("POST", "/flow_runs/filter", body)
        return [r for r in runs if not r["auto_scheduled"]]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The running site, with the deployments registered by `dao deploy`."""
    folder = tmp_path_factory.mktemp("site")
    database = Postgres(folder)
    server = Server(folder, database.url)
    worker = Worker(folder, server, OMP_NUM_THREADS="1")
    with running(database, server):
        done = cli(server, "flows.cli.main", "deploy")
        assert done.returncode == 0, done.stderr
        with running(worker):
            yield Site(folder, database, server, worker)
