"""Intervals of the figures that a benchmark reports."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054


def wilson(*, n_hit: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson score interval of a share. Source: Wilson, JASA 22, 209 (1927).

    Args:
        n_hit: How many of them.
        n: How many in all.
        z: Quantile of the normal distribution; the default gives 95 %.

    Returns:
        (low, high) in [0, 1].

    Raises:
        ValueError: The counts are no share.
    """
    if not 0 <= n_hit <= n or n == 0:
        raise ValueError(f"{n_hit} of {n} is no share: give 0 <= n_hit <= n and n > 0")
    share = n_hit / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def bootstrap_mean(*, values: NDArray[np.float64], n_draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean by resampling (Efron 1979).

    Args:
        values: (n,).
        n_draws: Resamplings.
        seed: The same seed gives the same interval.

    Returns:
        (low, high).
    """
    if len(values) == 0:
        raise ValueError("no values: the mean of nothing has no interval")
    draws = np.random.default_rng(seed).integers(0, len(values), size=(n_draws, len(values)))
    low, high = np.percentile(np.asarray(values)[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
