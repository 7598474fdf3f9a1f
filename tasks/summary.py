"""The figures of a finished run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from dao_core.artifacts import StageRecord
from dao_core.dft.records import Stored
from tasks.dft import Verdict


def summarise(ranked: StageRecord, page: Path, checked: list[Verdict], stored: Stored | None) -> dict[str, Any]:
    """Counts, the report's path, pw.x's verdicts and where their rows are."""
    rows = None if stored is None else asdict(stored)
    return {"counts": ranked.counts, "report": str(page), "pw.x": [asdict(v) for v in checked], "rows": rows}
