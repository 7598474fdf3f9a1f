"""What the benchmarks share: a line in `results/bars.jsonl` for each measured row, and words on the machine."""

from __future__ import annotations

import json
import os
import platform
import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

BARS = Path(__file__).resolve().parent / "results" / "bars.jsonl"


def record_bar(**line: Any) -> None:
    """Append one measured row; `issue`, `row`, `what`, `value`, `bar`, `met` and the rest of DESIGN section 7."""
    facts = {"machine": machine(), **line, "date": datetime.now(UTC).strftime("%Y-%m-%d")}
    BARS.parent.mkdir(exist_ok=True)
    with BARS.open("a") as handle:
        handle.write(json.dumps(facts) + "\n")


def show_bar(line: dict[str, Any], *, record: bool) -> None:
    """Print one measured row as the last line of a benchmark, and append it to the record where that is asked."""
    if record:
        record_bar(**line)
    print(json.dumps(line))


def machine() -> str:
    """A few words on the machine."""
    return f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def cpu_seconds() -> float:
    """User and system time of this process and its finished children."""
    own, children = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def peak_gib() -> float:
    """Largest resident memory of this process plus that of its largest child, GiB."""
    return sum(resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 2**20
