"""Random lattices and their parameters."""

from __future__ import annotations

import numpy as np


def parameters(lattice: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(lattice, axis=1)
    cosines = [lattice[i] @ lattice[j] / lengths[i] / lengths[j] for i, j in ((1, 2), (0, 2), (0, 1))]
    return np.array([*lengths, *cosines])


def random_lattices(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = np.array([[5.0, 0, 0], [0.7, 6.1, 0], [1.2, -0.4, 7.3]]) * rng.uniform(0.8, 1.2, (count, 1, 1))
    return base + rng.normal(0, 0.6, (count, 3, 3))
