"""Figures of a fine-tuned property: the error on rows that the model never saw, beside trivial answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dao_core.evaluate.statistics import bootstrap_mean


def property_errors(
    *, predicted: Sequence[float | None] | NDArray[np.float64], labels: Sequence[float] | NDArray[np.float64]
) -> tuple[dict[str, object], int, int, dict[str, int]]:
    """Errors of predicted numbers: mean absolute error with its 95 % bootstrap interval, median error and R^2.

    Args:
        predicted: One number for each label; None or a number that is not finite counts as failed, `no prediction`.
        labels: What was measured, in the same unit.

    Returns:
        (figures by name, n_ok, n_failed, reasons).

    Raises:
        ValueError: The lengths differ, or nothing was predicted.
    """
    if len(predicted) != len(labels):
        raise ValueError(f"{len(predicted)} predictions for {len(labels)} labels: give one for each")
    values = np.array([np.nan if p is None else p for p in predicted], dtype=np.float64)
    truth = np.asarray(labels, dtype=np.float64)
    ok = np.isfinite(values)
    if not ok.any():
        raise ValueError("no row has a prediction: nothing to measure")
    error = np.abs(values[ok] - truth[ok])
    spread = float(((truth[ok] - truth[ok].mean()) ** 2).sum())
    figures: dict[str, object] = {
        "mae": float(error.mean()),
        "interval": list(bootstrap_mean(values=error)),
        "median": float(np.median(error)),
        "r2": None if spread == 0 else 1.0 - float(((values[ok] - truth[ok]) ** 2).sum()) / spread,
    }
    n_failed = int((~ok).sum())
    return figures, int(ok.sum()), n_failed, {"ok": int(ok.sum()), "no prediction": n_failed}
