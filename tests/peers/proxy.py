"""A proxy before a real server that injects the faults of the real network."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Fault:
    """What happens to requests whose path holds `match`: the first `skip` of them pass, then `times` are hit.

    `status` (with `headers`) answers without asking the server; `cut` closes the connection halfway through the body,
    `short` sends half of it as if it were all; `drop` hangs up at once; `stale` answers with what the server said to
    the matching request before; `edit` changes the decoded JSON in place or returns another one.
    """

    match: str = ""
    skip: int = 0
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    short: bool = False
    drop: bool = False
    stale: bool = False
    edit: Callable[[Any], Any] | None = None


class FaultProxy(ThreadingHTTPServer):
    """Forwards to `upstream`; `faults` may be changed while it runs, `log` has the path of every request."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.faults: list[Fault] = []
        self.log: list[str] = []
        self.before: dict[int, bytes] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def reset(self, *faults: Fault) -> None:
        """Start anew with these faults."""
        self.faults, self.log, self.before = list(faults), [], {}

    def fault_for(self, path: str) -> tuple[Fault | None, list[Fault]]:
        """The fault that hits this request, and all whose path matches."""
        with self._lock:
            self.log.append(path)
            matching = [f for f in self.faults if f.match in path]
            for fault in matching:
                if fault.skip > 0:
                    fault.skip -= 1
                elif fault.times > 0:
                    fault.times -= 1
                    return fault, matching
            return None, matching

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait 40 ms for one another
    server: FaultProxy

    def do_GET(self) -> None:
        fault, matching = self.server.fault_for(self.path)
        if fault and fault.drop:
            self.close_connection = True
            return
        if fault and fault.status:
            self._reply(fault.status, {"Content-Type": "application/json", **fault.headers}, b'{"detail": "no"}')
            return
        status, kind, body = self._ask()
        if fault and fault.edit:
            value = json.loads(body)
            changed = fault.edit(value)
            body = json.dumps(value if changed is None else changed).encode()
        if fault and fault.stale:
            body = self.server.before[id(fault)]
        for other in matching:
            self.server.before[id(other)] = body
        if fault and fault.short:
            body = body[: len(body) // 2]
        self._reply(status, {"Content-Type": kind}, body, cut=bool(fault and fault.cut))

    def _ask(self) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=120)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("accept-encoding", "connection")}
        connection.request(
            "GET", self.path, headers=headers
        )  # Host is the proxy's: links that the server makes lead back here
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, response.getheader("Content-Type") or "", body

    def _reply(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def log_message(self, *args: Any) -> None:
        """Silent."""


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """The proxy running in a thread."""
    server = FaultProxy(upstream)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
