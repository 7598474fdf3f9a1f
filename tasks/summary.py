"""What a finished run leaves where a person looks: the report beside the journal, and a few figures."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dao_core.artifacts import StageRecord
from tasks.dft import Verdict


def copy_report(ranked: StageRecord, root: Path) -> Path:
    """Put the ledger's report at `root/report` (the earlier one is replaced as a whole) and return its page."""
    fresh = root / f"report.tmp-{uuid.uuid4().hex[:8]}"
    shutil.copytree(ranked.file("report"), fresh)
    final = root / "report"
    if final.exists():
        shutil.rmtree(final)
    fresh.rename(final)
    return final / "index.html"


def summarise(ranked: StageRecord, page: Path, checked: list[Verdict]) -> dict[str, Any]:
    """Counts, the report's path and pw.x's verdicts."""
    return {"counts": ranked.counts, "report": str(page), "pw.x": [asdict(v) for v in checked]}
