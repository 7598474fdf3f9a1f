"""The figures of a finished run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from dao_core.artifacts import StageRecord
from tasks.dft import Verdict


def summarise(ranked: StageRecord, page: Path, checked: list[Verdict]) -> dict[str, Any]:
    """Counts, the report's path and pw.x's verdicts."""
    return {"counts": ranked.counts, "report": str(page), "pw.x": [asdict(v) for v in checked]}
