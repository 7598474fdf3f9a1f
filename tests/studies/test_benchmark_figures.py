"""Figures of a benchmark over seeds; those of one shard are tested where it is predicted."""

from __future__ import annotations

import pytest

from dao_core.matching.rms import Comparison
from dao_core.studies.benchmark_figures import over_seeds
from dao_core.studies.csp_benchmark import ShardResult


def outcome(hits: list[bool]) -> ShardResult:
    table = [[Comparison(0.1 if h else None, 0.1 if h else None, "matched" if h else "sites")] for h in hits]
    return ShardResult([[None]] * len(hits), [["de novo"]] * len(hits), table, None)


def test_seeds_are_averaged_over_the_same_targets() -> None:
    mean = over_seeds([outcome([True, False, True]), outcome([False, False, True])], [0, 1, 2], (1,))[1]
    assert mean["match_rate"] == pytest.approx(50.0)
    assert mean["each_seed"] == pytest.approx([200 / 3, 100 / 3])
    interval = mean["interval"]
    assert isinstance(interval, list)
    low, high = interval
    assert low <= 50.0 <= high
