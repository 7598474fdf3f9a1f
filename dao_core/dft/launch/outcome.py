"""How a launched program ended, whatever it wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OutcomeKind = Literal[
    "exited", "timeout", "stalled", "stuck", "missing", "scheduler", "out_of_memory", "disk_full", "lost",
    "folder_removed",
]  # fmt: skip


@dataclass(frozen=True)
class RunOutcome:
    """How a launched program ended, whatever it wrote. `note` is for people."""

    kind: OutcomeKind
    returncode: int | None = None
    note: str = ""
