"""Shortest distances in periodic crystals: every image counts, an atom's own ones too, however skewed the cell.

In a Minkowski-reduced cell the shortest vector between two lattice-translated points has components of at most one
lattice vector beyond the rounded difference (Nguyen and Stehle, ACM Trans. Algorithms 5, 46 (2009)), so 27 images are
enough once the cell is reduced.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal

# Of the sum of covalent radii: pw.x stops on closer pairs with an empty output. Of 1,423 templates that were right for
# MP-20 validation compositions none had a closer one, of 10,812 wrong ones 137.
CLOSEST_CONTACT = 0.5
_PAIRS_AT_ONCE = 200_000  # bounds the memory of the 27 images of every pair to about 130 MB


def distance_matrix(lattice: NDArray[np.float64], frac_coords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shortest distance between every two atoms; the diagonal holds the distance of an atom to its nearest image.

    Args:
        lattice: (3, 3), rows in angstrom.
        frac_coords: (N, 3).

    Returns:
        (N, N) in angstrom.
    """
    reduced, frac = minkowski_reduced(lattice, frac_coords)
    n = len(frac)
    shifts = _neighbour_cells() @ reduced  # (27, 3)
    out = np.empty((n, n))
    rows = max(1, _PAIRS_AT_ONCE // max(n, 1))
    for begin in range(0, n, rows):
        difference = frac[None, :, :] - frac[begin : begin + rows, None, :]
        vectors = (difference - np.rint(difference)) @ reduced  # (R, N, 3)
        squares = ((vectors[:, :, None, :] + shifts) ** 2).sum(axis=-1)  # (R, N, 27)
        out[begin : begin + rows] = np.sqrt(squares.min(axis=-1))
    np.fill_diagonal(out, np.linalg.norm(reduced, axis=1).min())
    return out


def contact_ratios(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], atomic_numbers: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Shortest distance between every two atoms over the sum of their covalent radii; near 1 for a bond.

    Args:
        lattice: (3, 3), rows in angstrom.
        frac_coords: (N, 3).
        atomic_numbers: (N,).

    Returns:
        (N, N); the diagonal holds an atom and its nearest image.
    """
    from ase.data import covalent_radii

    radii = covalent_radii[atomic_numbers]
    return np.asarray(distance_matrix(lattice, frac_coords) / (radii[:, None] + radii[None, :]), dtype=np.float64)


def atoms_overlap(crystal: Crystal) -> bool:
    """Whether two atoms, images included, are closer than `CLOSEST_CONTACT` of the sum of their covalent radii."""
    ratios = contact_ratios(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)
    return bool(ratios.min() < CLOSEST_CONTACT)


def shortest_distance(crystal: Crystal) -> float:
    """Shortest distance between any two atoms of a crystal in angstrom, images of the same atom included."""
    return float(distance_matrix(crystal.lattice, crystal.frac_coords).min())


def closer_than(lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], limit: float) -> bool:
    """Whether two atoms, or an atom and its image, are closer than a limit.

    Args:
        lattice: (3, 3), rows in angstrom.
        frac_coords: (N, 3).
        limit: angstrom.

    Returns:
        Whether some are.
    """
    return bool(any_closer_than(lattice[None], frac_coords[None], limit)[0])


def any_closer_than(lattices: NDArray[np.float64], frac_coords: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    """Which of many crystals of one size hold two atoms, or an atom and its image, closer than a limit.

    Where all heights of the cell exceed twice the limit, a vector that short has fractional components below 1/2, so
    the rounded difference finds it and no other image needs a look; a lattice vector is at least as long as a height.
    Only the other cells are reduced.

    Args:
        lattices: (B, 3, 3), rows in angstrom, none singular.
        frac_coords: (B, N, 3).
        limit: angstrom.

    Returns:
        (B,)
    """
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattices), axis=1)  # (B, 3)
    wide = heights.min(axis=1) > 2.0 * limit
    out = np.zeros(len(lattices), dtype=bool)
    i, j = _pairs(frac_coords.shape[1])
    if len(i) and wide.any():
        x = frac_coords[wide]
        difference = x[:, i] - x[:, j]  # (W, pairs, 3)
        vectors = (difference - np.rint(difference)) @ lattices[wide]
        out[wide] = ((vectors**2).sum(axis=2) < limit * limit).any(axis=1)
    for row in np.flatnonzero(~wide):
        out[row] = distance_matrix(lattices[row], frac_coords[row]).min() < limit
    return out


def minkowski_reduced(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The Minkowski-reduced cell of a crystal, which keeps its orientation in space.

    Args:
        lattice: (3, 3), rows in angstrom.
        frac_coords: (N, 3).

    Returns:
        Lattice (3, 3) in angstrom and fractional coordinates (N, 3) in it, not wrapped.

    Raises:
        ValueError: The lattice cannot be reduced.
    """
    import moyopy

    _, columns = moyopy.minkowski_reduce(lattice.tolist())
    transform = np.array(columns, dtype=np.float64).T  # reduced = transform @ lattice
    return transform @ lattice, frac_coords @ np.rint(np.linalg.inv(transform))


@lru_cache(maxsize=64)
def _pairs(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    i, j = np.triu_indices(n, 1)
    return i, j


@lru_cache(maxsize=1)
def _neighbour_cells() -> NDArray[np.float64]:
    axis = np.array([-1.0, 0.0, 1.0])
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(27, 3)
