"""Small networks and random crystals for the tests."""

from __future__ import annotations

import numpy as np

from dao_core.crystal import Crystal
from dao_core.models.config import CrysformerConfig

TINY = CrysformerConfig(width=16, n_blocks=2, n_heads=4, n_frequencies=3, time_dim=8)


CORRECTED = TINY.model_copy(
    update={
        "distances": True, "n_radial": 6, "normalized_gram": True, "modulation": True, "modulation_dim": 8,
        "pair_width": 12
    }
)  # fmt: skip


def random_crystals(seed: int = 0, sizes: tuple[int, ...] = (2, 5, 3)) -> list[Crystal]:
    """Skewed random cells of different sizes."""
    rng = np.random.default_rng(seed)
    out = []
    for n in sizes:
        lattice = (np.eye(3) + 0.15 * rng.normal(size=(3, 3))) * (18.0 * n) ** (1 / 3)
        out.append(Crystal(lattice, rng.random((n, 3)), rng.integers(1, 90, n)))
    return out
