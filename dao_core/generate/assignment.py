"""Optimal assignment of base atoms to data atoms on the torus, species by species."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment


def assign_to_data(
    base: NDArray[np.float64],
    data: NDArray[np.float64],
    atomic_numbers: NDArray[np.int64],
    lattice: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Reorder base points within each species so that the squared geodesic distances to the data are smallest.

    A permutation of like atoms changes no distribution, only straightens the paths.

    Args:
        base: (N, 3), fractional.
        data: (N, 3), fractional.
        atomic_numbers: (N,).
        lattice: (3, 3) of the data, in angstrom, through which distances are measured.

    Returns:
        The reordered base, (N, 3).
    """
    out = base.copy()
    for z in np.unique(atomic_numbers):
        rows = np.flatnonzero(atomic_numbers == z)
        if len(rows) == 1:
            continue
        delta = data[rows][:, None, :] - base[rows][None, :, :]
        delta -= np.round(delta)
        cost = np.square(delta @ lattice).sum(-1)
        _, columns = linear_sum_assignment(cost)
        out[rows] = base[rows[columns]]
    return out


def assign_batch(
    base: NDArray[np.float64],
    data: NDArray[np.float64],
    atomic_numbers: NDArray[np.int64],
    lattice: NDArray[np.float64],
) -> NDArray[np.float64]:
    """`assign_to_data` for a padded batch.

    Args:
        base: (B, N, 3), fractional.
        data: (B, N, 3), fractional.
        atomic_numbers: (B, N), 0 is padding.
        lattice: (B, 3, 3) of the data, in angstrom.

    Returns:
        The reordered base, (B, N, 3).
    """
    out = base.copy()
    for b in range(len(base)):
        n = int((atomic_numbers[b] > 0).sum())
        out[b, :n] = assign_to_data(base[b, :n], data[b, :n], atomic_numbers[b, :n], lattice[b])
    return out
