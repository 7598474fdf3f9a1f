"""Errors of properties: by hand, with what failed counted."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.evaluate.properties import property_errors


def test_errors_by_hand_and_failures_counted() -> None:
    figures, n_ok, n_failed, reasons = property_errors(predicted=[1.0, None, 5.0, np.nan], labels=[2.0, 9.0, 2.0, 1.0])
    assert (n_ok, n_failed, reasons) == (2, 2, {"ok": 2, "no prediction": 2})
    assert figures["mae"] == 2.0
    assert figures["r2"] is None  # equal labels have no variance to explain
    interval = figures["interval"]
    assert isinstance(interval, list)
    low, high = interval
    assert 1.0 <= low <= 2.0 <= high <= 3.0


def test_r2_of_the_mean_is_zero() -> None:
    labels = np.array([1.0, 2.0, 6.0])
    assert property_errors(predicted=np.full(3, 3.0), labels=labels)[0]["r2"] == pytest.approx(0.0)
    assert property_errors(predicted=labels, labels=labels)[0]["r2"] == 1.0


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="give one for each"):
        property_errors(predicted=[1.0], labels=[1.0, 2.0])
    with pytest.raises(ValueError, match="nothing to measure"):
        property_errors(predicted=[None], labels=[1.0])
