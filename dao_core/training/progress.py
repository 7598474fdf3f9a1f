"""Progress of a training for a display: a callback set around the run, because the training knows no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingProgress:
    """Finished share of a run (0 to 1), by steps or seconds, and what to say beside it."""

    share: float
    step: int
    structures_per_s: float
    loss: float


Report = Callable[[TrainingProgress], bool]  # True: it is shown live, and lines would only disturb
_report: ContextVar[Report | None] = ContextVar("training_report", default=None)


@contextmanager
def reporting(report: Report) -> Iterator[None]:
    """Report trainings inside the block.

    Args:
        report: Called about once a second; True says that it is shown live.
    """
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


def report_progress(progress: TrainingProgress) -> bool:
    """Tell whoever set `reporting`.

    Args:
        progress: The state of the training.

    Returns:
        Whether it is shown live.
    """
    listener = _report.get()
    return listener is not None and listener(progress)
