"""SIGTERM and Ctrl-C while a busy server is asked again and again: the command ends, in a line, within seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def busy() -> Iterator[tuple[int, threading.Event]]:
    """A server that always says "later", and an event that is set when it was asked."""
    asked = threading.Event()

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            asked.set()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Busy)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_build_that_waits_for_a_busy_server_ends_at_once(
    tmp_path: Path, busy: tuple[int, threading.Event], sign: signal.Signals, status: int
) -> None:
    port, asked = busy
    (tmp_path / "db.yaml").write_text(
        f"sources: [{{kind: oqmd, base_url: 'http://127.0.0.1:{port}', http: {{first_wait: 60, max_wait: 300}}}}]\n"
        "benchmarks: []\n"
    )
    command = [sys.executable, "-m", "flows.cli.main", "crysdb", "build", "db.yaml", "--root", "db"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
    child = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert asked.wait(120), child.communicate(timeout=1)
    child.send_signal(sign)
    out, err = child.communicate(timeout=10)
    assert child.returncode == status
    assert "Traceback" not in out + err
    assert "the same command" in err
