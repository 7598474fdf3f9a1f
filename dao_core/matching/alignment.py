"""The best mapping of one cell on another: which lattice vectors, translation and atoms correspond.

The search and its values are those of pymatgen's StructureMatcher (Ong et al., Comput. Mater. Sci. 68, 314 (2013)),
done on arrays: all cell mappings at once, and mappings that symmetry makes equivalent are evaluated once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pymatgen.core import Lattice

EXACT = 1e-5  # pymatgen stops its search below this rms


@dataclass(frozen=True)
class Tolerances:
    """`lengths` relative, `sites` in units of (V/N)^(1/3), `angles` in degrees. Defaults: the published benchmark's."""

    lengths: float = 0.3
    sites: float = 0.5
    angles: float = 10.0


@dataclass(frozen=True)
class Cell:
    """`matrix` (3, 3) in angstrom with lattice vectors as rows, `frac` (n, 3), `numbers` (n,)."""

    matrix: NDArray[np.float64]
    frac: NDArray[np.float64]
    numbers: NDArray[np.int64]


@dataclass(frozen=True)
class Mapping:
    """How `first` lies on `second`.

    cell_matrix @ first.matrix resembles second.matrix; site order[i] of `first`, expressed in that cell and minus
    `shift`, lies on site i of `second`. `rms` and `max_distance` in units of (V/N)^(1/3).
    """

    rms: float
    max_distance: float
    cell_matrix: NDArray[np.int64]
    shift: NDArray[np.float64]
    order: NDArray[np.int64]


class TimeLimitError(TimeoutError):
    """A search went on beyond its deadline."""


def best_mapping(
    first: Cell, second: Cell, tolerances: Tolerances, good_enough: float = EXACT, deadline: float = math.inf
) -> Mapping | str:
    """The mapping of smallest rms, or why there is none.

    Args:
        first: Reduced cell to be laid on `second`; the volumes of both are made equal first.
        second: Reduced cell.
        tolerances: What counts as resemblance.
        good_enough: The search ends at the first mapping of a smaller rms.
        deadline: On the clock of `time.monotonic`, in seconds.

    Returns:
        The mapping, or the step at which none was left: composition, cell_size, lattice or sites.

    Raises:
        TimeLimitError: The deadline has passed.
    """
    cells = _cells_alike(first, second, tolerances)
    if isinstance(cells, str):
        return cells
    best: Mapping | None = None
    for mapping in _mappings(first, second, cells, tolerances.sites, deadline):
        if best is None or mapping.rms < best.rms:
            best = mapping
            if best.rms < good_enough:
                break
    return best if best is not None and best.rms < tolerances.sites else "sites"


def can_be_mapped(first: Cell, second: Cell, tolerances: Tolerances) -> bool:
    """Whether some mapping brings every site within the tolerance of its partner (`StructureMatcher.fit`'s question).

    Args:
        first: Reduced cell to be laid on `second`; the volumes of both are made equal first.
        second: Reduced cell.
        tolerances: What counts as resemblance.

    Returns:
        Whether there is such a mapping.
    """
    cells = _cells_alike(first, second, tolerances)
    if isinstance(cells, str):
        return False
    return any(m.max_distance <= tolerances.sites for m in _mappings(first, second, cells, tolerances.sites))


@dataclass(frozen=True)
class _CellPairs:
    """Cell mappings `matrices` (M, 3, 3) and the mean cells (M, 3, 3) in which distances are measured."""

    matrices: NDArray[np.int64]
    means: NDArray[np.float64]


def _cells_alike(first: Cell, second: Cell, tolerances: Tolerances) -> _CellPairs | str:
    """The ways in which the lattices resemble each other at equal volume, or why there are none."""
    if len(first.numbers) != len(second.numbers):
        return "cell_size"
    if not np.array_equal(np.sort(first.numbers), np.sort(second.numbers)):
        return "composition"
    ratio = (abs(np.linalg.det(second.matrix)) / abs(np.linalg.det(first.matrix))) ** (1 / 6)
    matrix1, matrix2 = first.matrix * ratio, second.matrix / ratio
    matrices = _cell_mappings(matrix1, matrix2, tolerances)
    if len(matrices) == 0:
        return "lattice"
    return _CellPairs(matrices, _mean_cells(matrices @ matrix1, matrix2))


def _lengths_angles(matrices: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths (..., 3) and angles (..., 3) in degrees of cells (..., 3, 3)."""
    lengths = np.linalg.norm(matrices, axis=-1)
    gram = matrices @ np.swapaxes(matrices, -1, -2)
    pairs = [(1, 2), (0, 2), (0, 1)]
    cosines = np.stack([gram[..., i, j] / (lengths[..., i] * lengths[..., j]) for i, j in pairs], axis=-1)
    return lengths, np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))


def _cell_mappings(
    matrix1: NDArray[np.float64], matrix2: NDArray[np.float64], tolerances: Tolerances
) -> NDArray[np.int64]:
    """Integer matrices S of determinant +-1 for which S @ matrix1 resembles matrix2, (M, 3, 3)."""
    most = 1 + tolerances.lengths
    lengths, angles = _lengths_angles(matrix2)
    radius = lengths.max() * most
    reach = np.floor(radius * np.linalg.norm(np.linalg.inv(matrix1), axis=0) + 1e-9).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = grid @ matrix1
    norms = np.linalg.norm(vectors, axis=1)
    picks = [np.flatnonzero((norms / x < most) & (norms / x > 1 / most) & (norms <= radius)) for x in lengths]
    units = [vectors[p] / norms[p, None] for p in picks]

    def close(i: int, j: int, angle: float) -> NDArray[np.bool_]:
        degrees = np.degrees(np.arccos(np.clip(units[i] @ units[j].T, -1.0, 1.0)))
        return np.asarray(np.abs(degrees - angle) <= tolerances.angles)

    alpha, beta, gamma = close(1, 2, angles[0]), close(0, 2, angles[1]), close(0, 1, angles[2])
    triples = np.argwhere(gamma[:, :, None] & alpha[None, :, :] & beta[:, None, :])
    matrices = np.stack([grid[picks[i][triples[:, i]]] for i in range(3)], axis=1)  # (M, 3, 3)
    volume = np.einsum("mi,mi->m", matrices[:, 0], np.cross(matrices[:, 1], matrices[:, 2]))
    return np.asarray(matrices[np.abs(volume) == 1])


def _mean_cells(cells: NDArray[np.float64], matrix2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cells (M, 3, 3) with the mean lengths and angles of `cells` and `matrix2`, c along z."""
    lengths, angles = _lengths_angles(cells)
    lengths2, angles2 = _lengths_angles(matrix2)
    (a, b, c), (alpha, beta, gamma) = ((lengths + lengths2) / 2).T, np.radians((angles + angles2) / 2).T
    cosine = (np.cos(alpha) * np.cos(beta) - np.cos(gamma)) / (np.sin(alpha) * np.sin(beta))
    gamma_star = np.arccos(np.clip(cosine, -1.0, 1.0))
    zero = np.zeros_like(a)
    rows = [
        [a * np.sin(beta), zero, a * np.cos(beta)],
        [-b * np.sin(alpha) * np.cos(gamma_star), b * np.sin(alpha) * np.sin(gamma_star), b * np.cos(alpha)],
        [zero, zero, c],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


@lru_cache(maxsize=1)
def _waves() -> NDArray[np.int64]:
    """Fixed wave vectors whose structure factors tell mappings apart, (10, 3)."""
    return np.random.default_rng(0).integers(-6, 7, size=(10, 3))


def _distinct(
    means: NDArray[np.float64], frac1: NDArray[np.float64], shifts: NDArray[np.float64], numbers: NDArray[np.int64]
) -> list[tuple[int, int]]:
    """(cell mapping, translation) pairs, one of each group that symmetry makes equal.

    Equal mean cell and equal positions as a set give equal distances; positions are compared by structure factors of
    frac1 - shift, which don't depend on the order of the sites. Shapes: (M, 3, 3), (M, n, 3), (M, T, 3), (n,).
    """
    phase = np.exp(2j * np.pi * (frac1 @ _waves().T)) * np.sqrt(numbers)[None, :, None]  # (M, n, W)
    factors = phase.sum(axis=1)[:, None, :] * np.exp(-2j * np.pi * (shifts @ _waves().T))  # (M, T, W)
    gram = means @ np.swapaxes(means, -1, -2)
    cell = np.broadcast_to(gram.reshape(len(gram), 1, 9), (*shifts.shape[:2], 9))
    marks = np.concatenate([cell, factors.real, factors.imag], axis=-1).reshape(-1, 9 + 2 * len(_waves()))
    _, first = np.unique(np.round(marks / 1e-6).astype(np.int64), axis=0, return_index=True)
    return [divmod(int(i), shifts.shape[1]) for i in np.sort(first)]


def _mappings(
    first: Cell, second: Cell, cells: _CellPairs, site_tolerance: float, deadline: float = math.inf
) -> Iterator[Mapping]:
    """The best assignment of sites for every cell mapping and translation that leaves each site a partner."""
    from pymatgen.core import Lattice
    from pymatgen.util.coord_cython import is_coord_subset_pbc

    means = cells.means
    mask = (second.numbers[:, None] != first.numbers[None, :]).astype(np.int64)
    anchor = int(mask.sum(axis=1).argmax())  # a site of the rarest species: it has the fewest possible partners
    frac1 = first.frac @ np.linalg.inv(cells.matrices)  # (M, n, 3)
    frac1 = frac1 - np.floor(frac1)
    shifts = frac1[:, mask[anchor] == 0] - second.frac[anchor]  # (M, T, 3)
    norms = (len(mask) / np.abs(np.linalg.det(means))) ** (1 / 3)
    limits = 2 * np.linalg.norm(np.linalg.inv(means), axis=1) * site_tolerance / norms[:, None]
    lattices: dict[bytes, tuple[Lattice, NDArray[np.float64]]] = {}
    for m, t in _distinct(means, frac1, shifts, first.numbers):
        if time.monotonic() > deadline:
            raise TimeLimitError("the search for a mapping took longer than its limit: raise the limit")
        moved = second.frac + shifts[m, t]
        if not is_coord_subset_pbc(moved, frac1[m], limits[m], mask):
            continue
        key = np.round(means[m], 9).tobytes()
        if key not in lattices:
            lattice = Lattice(means[m])
            reduced = np.array(lattice.get_lll_reduced_lattice().reciprocal_lattice.abc)
            lattices[key] = lattice, reduced * site_tolerance / (np.pi * norms[m])
        distances, drift, order = _assign(*lattices[key], moved, frac1[m], mask)
        rms = float(np.sqrt((distances**2).mean()) * norms[m])
        shift = shifts[m, t] + drift @ np.linalg.inv(means[m])
        yield Mapping(rms, float(distances.max() * norms[m]), cells.matrices[m], shift, order)


def _assign(
    lattice: Lattice,
    reduced_tolerance: NDArray[np.float64],
    frac2: NDArray[np.float64],
    frac1: NDArray[np.float64],
    mask: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Distances (n,) in angstrom of the best assignment without its mean shift, that shift (3,), and the order (n,)."""
    from pymatgen.util.coord_cython import pbc_shortest_vectors
    from scipy.optimize import linear_sum_assignment

    vectors, squares = pbc_shortest_vectors(lattice, frac2, frac1, mask, True, reduced_tolerance)
    rows, order = linear_sum_assignment(squares)
    short = vectors[rows, order]
    drift = short.mean(axis=0)
    return np.linalg.norm(short - drift, axis=1), drift, order
