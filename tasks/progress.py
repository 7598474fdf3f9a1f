"""How far a stage is: shown in the terminal, kept in a file for `dao status`, shown in the Prefect UI."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from dao_core.artifacts import write_atomic
from tasks.events import now

FOLDER = "progress"
FILE_EVERY_S, ARTIFACT_EVERY_S = 2.0, 5.0
Listener = Callable[["Progress"], None]
listeners: list[Listener] = []  # the terminal's live display, where there is one


class Progress:
    """One stage's progress; `done` and `total` in any unit, rate and time left from the speed of this attempt."""

    def __init__(self, root: str | Path, stage: str, total: float, unit: str = "shards") -> None:
        self.stage, self.total, self.unit = stage, total, unit
        self.done, self.note, self.ended = 0.0, "", False
        self.path = Path(root) / FOLDER / f"{_slug(stage)}.json"
        self._began = self._saved = self._shown = time.monotonic()
        self._first = 0.0  # where this attempt began
        self._artifact: UUID | None = None
        self._ui = _in_run()

    @property
    def rate(self) -> float:
        """Units a second in this attempt."""
        return (self.done - self._first) / max(time.monotonic() - self._began, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """By the rate so far; None where there is none yet."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None

    def start_at(self, done: float) -> None:
        """Begin where an earlier attempt ended: its work doesn't count for the rate."""
        self.done = self._first = done

    def update(self, done: float, note: str = "") -> None:
        """Tell everybody who listens; files and the UI only now and then."""
        self.done, self.note = done, note
        for listener in listeners:
            listener(self)
        clock = time.monotonic()
        ended = self.done >= self.total
        if ended or clock - self._saved >= FILE_EVERY_S:
            self._saved = clock
            self._save()
        if self._ui and (ended or clock - self._shown >= ARTIFACT_EVERY_S or self._artifact is None):
            self._shown = clock
            self._show()

    def sentence(self) -> str:
        """How many of how many, how fast, how long still."""
        many = "" if self.unit == "%" else f"{self.done:.0f}/{self.total:.0f} {self.unit}, {self.rate:.2g}/s, "
        left = self.seconds_left
        return f"{many}{self.note + ', ' if self.note else ''}{'?' if left is None else round(left)} s left"

    def close(self) -> None:
        """The stage has ended, one way or the other."""
        self.ended = True
        for listener in listeners:
            listener(self)
        self.path.unlink(missing_ok=True)

    def _save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        left = self.seconds_left
        state = {
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "unit": self.unit,
            "note": self.note,
            "rate": round(self.rate, 3),
            "seconds_left": None if left is None else round(left),
            "time": now(),
        }
        write_atomic(self.path, json.dumps(state))

    def _show(self) -> None:
        """The progress artifact. A server that is gone ends the display, not the stage."""
        import httpx

        from tasks.prefect_api import create_progress_artifact, get_run_logger, update_progress_artifact

        percent = 100.0 * min(1.0, self.done / self.total) if self.total else 100.0
        try:
            if self._artifact is None:
                key = f"progress-{_slug(self.stage)}"
                made: Any = create_progress_artifact(progress=percent, key=key, description=self.stage)
                self._artifact = made
            else:
                update_progress_artifact(artifact_id=self._artifact, progress=percent)
        except httpx.HTTPError as error:
            self._ui = False
            get_run_logger().warning("progress of %s is no longer shown in the UI: %s", self.stage, error)


@contextmanager
def progress(root: str | Path, stage: str, total: float, unit: str = "shards") -> Iterator[Progress]:
    """The progress of a stage while it runs.

    Args:
        root: Folder of the run.
        stage: Name of the stage.
        total: What `Progress.update` counts up to.
        unit: What is counted.

    Yields:
        What the stage reports to.
    """
    shown = Progress(root, stage, total, unit)
    try:
        yield shown
    finally:
        shown.close()


def read_progress(root: str | Path) -> list[dict[str, Any]]:
    """What is under way below a run's folder; a file that is being replaced or damaged is left out."""
    found = []
    for path in sorted((Path(root) / FOLDER).glob("*.json")):
        try:
            found.append(json.loads(path.read_text()))
        except (OSError, ValueError):
            continue
    return found


def _in_run() -> bool:
    """Whether Prefect is there at all: `dao status` and `dao train` do without it."""
    if "prefect" not in sys.modules:
        return False
    from tasks.prefect_api import in_run

    return in_run()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
