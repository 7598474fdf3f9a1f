"""Hypothesis strategies shared by the property tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from dao_core.crystal import Crystal


@st.composite
def crystals(draw: st.DrawFn, max_atoms: int = 8) -> Crystal:
    """A random crystal: a skewed cell of either handedness, atoms on a grid of spacing 0.1 with a small offset."""
    n_atoms = draw(st.integers(1, max_atoms))
    lengths = draw(st.lists(st.floats(3.0, 9.0), min_size=3, max_size=3))
    skew = draw(st.lists(st.floats(-0.6, 0.6), min_size=3, max_size=3))
    lattice = np.diag(lengths)
    lattice[1, 0], lattice[2, 0], lattice[2, 1] = np.array(skew) * lengths[0]
    if draw(st.booleans()):
        lattice = lattice[[1, 0, 2]]
    cells = draw(st.lists(st.integers(0, 999), min_size=n_atoms, max_size=n_atoms, unique=True))
    offsets = draw(st.lists(st.floats(0.0, 0.05), min_size=3, max_size=3))
    grid = np.array([[c // 100, c // 10 % 10, c % 10] for c in cells]) / 10.0
    numbers = draw(st.lists(st.integers(1, 94), min_size=n_atoms, max_size=n_atoms))
    return Crystal(lattice, grid + np.array(offsets), np.array(numbers))


@st.composite
def rotations(draw: st.DrawFn) -> np.ndarray:
    """A proper rotation matrix from a unit quaternion."""
    q = np.array(draw(st.lists(st.floats(-1.0, 1.0), min_size=4, max_size=4)))
    norm = np.linalg.norm(q)
    w, x, y, z = q / norm if norm > 1e-3 else np.array([1.0, 0.0, 0.0, 0.0])
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
