"""The structured log of a run: one JSON object a line, appended by any process that works for the run."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

EVENTS = "events.jsonl"


def now() -> str:
    """This moment in UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_event(root: str | Path, run: str, message: str, **facts: Any) -> None:
    """Append one line in one write, so that lines of several processes never mix."""
    line = json.dumps({"time": now(), "run": run, "message": message, **facts}, default=str) + "\n"
    handle = os.open(Path(root) / EVENTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)
