"""Intervals against published and analytic values."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from dao_core.evaluate import statistics
from dao_core.evaluate.statistics import bootstrap_mean, wilson


def test_wilson_textbook_values() -> None:
    assert wilson(n_hit=81, n=263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I
    assert wilson(n_hit=0, n=20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(n_hit=20, n=20)[1] == 1.0


@pytest.mark.parametrize(("hit", "n"), [(1, 0), (5, 4), (-1, 4)])
def test_wilson_refuses_what_is_no_share(hit: int, n: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson(n_hit=hit, n=n)


def test_bootstrap_is_about_two_standard_errors() -> None:
    values = np.random.default_rng(0).normal(1.0, 0.5, 400)
    low, high = bootstrap_mean(values=values)
    assert low < values.mean() < high
    assert (high - low) / 2 == pytest.approx(1.96 * 0.5 / 20, rel=0.15)
    assert bootstrap_mean(values=values) == (low, high)


def test_bootstrap_in_parts_is_that_of_all_draws_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).normal(size=101)
    whole = bootstrap_mean(values=values)
    for at_once in (1, 101 * 7, 101 * 1999):
        monkeypatch.setattr(statistics, "DRAWN_AT_ONCE", at_once)
        assert bootstrap_mean(values=values) == whole


def test_bootstrap_takes_little_memory() -> None:
    values = np.random.default_rng(4).normal(size=5_000)
    tracemalloc.start()
    bootstrap_mean(values=values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6  # all draws at once: 160e6


def test_bootstrap_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        bootstrap_mean(values=np.array([]))
