"""The usual volume of each element, fitted to crystals: what a cell of new contents is scaled to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

N_ELEMENTS = 101  # atomic numbers 0 (unused) to 100
STEPS = 8  # of Gauss and Newton; the fit is converged after four or five
PRIOR_WEIGHT = 0.1  # against the weight 1 of one elemental crystal


def fit_atomic_volumes(cells: Sequence[NDArray[np.int64]], volumes: Sequence[float]) -> NDArray[np.float64]:
    """Volume of each element, by ridge-regularised least squares on log volume ratios.

    Starts from covalent radii and fits multiplicative corrections with a few Gauss-Newton steps, so every volume is
    positive and a large cell counts as much as a small one. An element that is not in the data keeps its radius-based
    volume times the mean correction.

    Args:
        cells: Atomic numbers of each cell, (n_atoms,).
        volumes: Of the same cells, in angstrom^3.

    Returns:
        (101,) in angstrom^3, by atomic number.
    """
    from ase.data import covalent_radii

    start = 4.0 * np.power(np.concatenate([[1.0], covalent_radii[1:N_ELEMENTS]]), 3) + 4.0
    counts = np.stack([np.bincount(numbers, minlength=N_ELEMENTS) for numbers in cells]).astype(float)
    target = np.log(volumes)
    log_volume = np.log(start)
    log_volume += np.mean(target - np.log(counts @ start))
    prior = log_volume.copy()
    for _ in range(STEPS):
        fitted = np.exp(log_volume)
        predicted = counts @ fitted
        jacobian = counts * fitted / predicted[:, None]
        residual = target - np.log(predicted)
        normal = jacobian.T @ jacobian + PRIOR_WEIGHT * np.eye(N_ELEMENTS)
        gradient = jacobian.T @ residual - PRIOR_WEIGHT * (log_volume - prior)
        log_volume = log_volume + np.linalg.solve(normal, gradient)
    return np.exp(log_volume)
