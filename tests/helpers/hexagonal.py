"""A hexagonal crystal."""

from __future__ import annotations

import numpy as np

from dao_core.crystal import Crystal, crystal_from_symbols


def hexagonal() -> Crystal:
    """Two unlike atoms with an internal coordinate, space group 186 (wurtzite)."""
    a, c = 3.2, 5.2
    lattice = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]]
    frac = [[1 / 3, 2 / 3, 0.0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.38], [2 / 3, 1 / 3, 0.88]]
    return crystal_from_symbols(lattice, ["Zn", "Zn", "S", "S"], frac)
