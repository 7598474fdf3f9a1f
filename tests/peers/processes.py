"""Starting the peers that live in an environment of their own (infra/peers/setup.sh makes it)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT = 600.0  # seconds; emmet-api imports for 35 s on one idle core and 150 s on a crowded machine


def peers_python() -> Path:
    """The interpreter of the peers' environment, DAO_PEERS_VENV or .venv-peers beside the checkout's files."""
    return Path(os.environ.get("DAO_PEERS_VENV", ROOT / ".venv-peers")) / "bin" / "python"


@contextmanager
def uvicorn_server(app: str, probe: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """An ASGI application under uvicorn; yields its URL once `probe` answers. Raises RuntimeError with its log.

    The listening socket is made here and handed over: no port to guess, and early requests wait in its backlog.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    log = folder / "server.log"
    descriptor = listener.fileno()
    command = [
        str(peers_python()),
        "-m",
        "uvicorn",
        "--fd",
        str(descriptor),
        "--app-dir",
        str(Path(__file__).parent),
        app,
    ]
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "--log-level", "warning"],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            pass_fds=[descriptor],
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    listener.close()  # the server's copy alone is left: if it dies, clients are refused and don't wait
    try:
        try:
            requests.get(url + probe, timeout=START_TIMEOUT).raise_for_status()
        except requests.RequestException as error:
            raise RuntimeError(f"peer {app} did not start: {error}\n{log.read_text()[-3000:]}") from error
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def materials_project_server(entries: list[dict[str, Any]], folder: Path, release: str) -> Iterator[str]:
    """emmet-api serving thermo documents made from ComputedStructureEntry dictionaries."""
    path = folder / "entries.json"
    path.write_text(json.dumps(entries))
    environment = {"DAO_PEER_ENTRIES": str(path), "MAPI_DB_VERSION": release}
    with uvicorn_server("materials_project_app:app", "/heartbeat", folder, environment) as url:
        yield url + "/"


@contextmanager
def optimade_server(lines: list[dict[str, Any]], folder: Path, provider_fields: list[str]) -> Iterator[str]:
    """The OPTIMADE reference server with provider prefix `oqmd`, as OQMD's own endpoint has."""
    data = folder / "structures.jsonl"
    header = {"x-optimade": {"meta": {"api_version": "1.1.0"}}}
    data.write_text("\n".join(json.dumps(line) for line in [header, *lines]) + "\n")
    provider = {"prefix": "oqmd", "name": "Loopback OQMD", "description": "a test", "homepage": "https://oqmd.org"}
    config = {
        "insert_from_jsonl": str(data),
        "insert_test_data": False,
        "database_backend": "mongomock",
        "log_dir": str(folder),
        "page_limit": 5,
        "page_limit_max": 500,
        "provider": provider,
        "provider_fields": {"structures": provider_fields},
    }
    path = folder / "optimade.json"
    path.write_text(json.dumps(config))
    with uvicorn_server("optimade.server.main:app", "/v1/info", folder, {"OPTIMADE_CONFIG_FILE": str(path)}) as url:
        yield url
