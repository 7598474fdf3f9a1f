"""An HTTP server with the shape, the paging and the oddities of OQMD's REST API."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit


class OqmdServer(ThreadingHTTPServer):
    """`rows` are served at /oqmdapi/formationenergy; they may be changed while it runs."""

    daemon_threads = True

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rows = rows

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait 40 ms for one another
    server: OqmdServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.rstrip("/") != "/oqmdapi/formationenergy":
            self._reply(404, {"detail": "Not found."})
            return
        query = dict(parse_qsl(parts.query))
        rows = [row for row in self.server.rows if _passes(row, query.get("filter", ""))]
        limit, offset = int(query.get("limit", 50)), int(query.get("offset", 0))
        wanted = query.get("fields", "").split(",") if query.get("fields") else None
        page = [
            {k: v for k, v in row.items() if wanted is None or k in wanted} for row in rows[offset : offset + limit]
        ]
        more = offset + limit < len(rows)
        following = urlencode({**query, "limit": limit, "offset": offset + limit})
        self._reply(
            200,
            {
                "links": {
                    "next": f"{self.server.url}{parts.path}?{following}" if more else None,
                    "previous": None if not offset else f"{self.server.url}{parts.path}",
                    "base_url": {"href": self.server.url, "meta": {"_oqmd_version": "1.0"}},
                },
                "resource": {},
                "data": page,
                "meta": {
                    "query": {"representation": self.path},
                    "api_version": "1.0",
                    "time_stamp": "2025-01-01 00:00:00",
                    "data_returned": min(limit, len(rows) - offset),
                    "data_available": len(rows),
                    "more_data_available": more or bool(offset),  # true on the last page too, as on the real server
                },
                "response_message": "OK",
            },
        )

    def _reply(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Silent."""


def _passes(row: dict[str, Any], condition: str) -> bool:
    """The little of OQMD's filter language that the tests need: `natoms<3 AND stability<0.1`."""
    for part in filter(None, condition.split(" AND ")):
        name, sign, bound = re.fullmatch(r"(\w+)([<>=])(.+)", part).groups()  # type: ignore[union-attr]
        value = row[name]
        if (
            value is None
            or not {"<": value < float(bound), ">": value > float(bound), "=": value == float(bound)}[sign]
        ):
            return False
    return True


@contextmanager
def oqmd_server(rows: list[dict[str, Any]]) -> Iterator[OqmdServer]:
    """The server running in a thread."""
    server = OqmdServer(rows)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
