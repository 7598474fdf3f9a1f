"""Intervals of the figures that a benchmark reports."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054  # quantile of the normal distribution
N_DRAWS = 2000  # resamplings of a bootstrap
DRAWN_AT_ONCE = 2_000_000  # values: bounds the memory, whose size all resamplings of 100,000 values take in gigabytes


def wilson(*, n_hit: int, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of a share. Source: Wilson, JASA 22, 209 (1927).

    Args:
        n_hit: How many of them.
        n: How many in all.

    Returns:
        (low, high) in [0, 1].

    Raises:
        ValueError: The counts are no share.
    """
    if not 0 <= n_hit <= n or n == 0:
        raise ValueError(f"{n_hit} of {n} is no share: give 0 <= n_hit <= n and n > 0")
    share, z = n_hit / n, Z95
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def bootstrap_mean(*, values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile interval of the mean by resampling (Efron 1979); the same values give the same interval.

    Args:
        values: (n,).

    Returns:
        (low, high).
    """
    if len(values) == 0:
        raise ValueError("no values: the mean of nothing has no interval")
    measured, n, rng = np.asarray(values), len(values), np.random.default_rng(0)
    rows = max(1, DRAWN_AT_ONCE // n)
    means = [
        measured[rng.integers(0, n, size=(min(rows, N_DRAWS - begin), n))].mean(axis=1)
        for begin in range(0, N_DRAWS, rows)
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)
