"""Lower convex hulls as affine functions, so that the distances of all entries of a system cost one matmul.

The lower hull of a chemical system is convex and piecewise linear: at composition x it is max_k (a_k . x) over its
lower facets. They come from qhull (Barber, Dobkin and Huhdanpaa, ACM TOMS 22, 469 (1996)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLAT = 1e-10  # eV/atom: an entry this close to the plane of the elements is no vertex
NOISE = 1e-9  # eV/atom: rounding of the hull distance of a vertex
_DOWN = -1e-9  # a facet faces down where its unit normal does by more than this; vertical ones are the hull's walls
_INSIDE = -1e-6  # a barycentric coordinate below this lies outside its simplex


@dataclass(frozen=True)
class LowerHull:
    """The lower hull of n points and the d pure elements at zero.

    Attributes:
        coefficients: (F, d) affine functions, written for all d mole fractions: hull(x) = max(x @ coefficients.T).
        simplices: (F, d) corners of each facet: a given point's index, or n + i for element i.
    """

    coefficients: NDArray[np.float64]
    simplices: NDArray[np.intp]
    n_points: int

    @property
    def vertices(self) -> NDArray[np.intp]:
        """Indices of the given points that are corners of the lower hull, ascending."""
        corners = np.unique(self.simplices)
        return corners[corners < self.n_points]

    def energy(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The hull at mole fractions.

        Args:
            x: (m, d) mole fractions, each row summing to 1.

        Returns:
            Formation energies in eV/atom, (m,).
        """
        return (x @ self.coefficients.T).max(axis=1)

    def weights(self, x: NDArray[np.float64], points: NDArray[np.float64]) -> dict[int, float]:
        """The corners that a composition falls apart into, with their atomic fractions.

        Args:
            x: (d,) mole fractions.
            points: (n + d, d) mole fractions of the given points, then of the elements.

        Returns:
            Index of a corner -> its fraction above 1e-8; the fractions sum to 1.
        """
        values = self.coefficients @ x
        order = np.argsort(-values, kind="stable")
        best, best_low = np.zeros(0), -np.inf
        corners = self.simplices[order[0]]
        for facet in order:  # the highest facet is the one above x, but those in one plane tie
            if best_low >= _INSIDE and values[facet] < values[order[0]] - NOISE:
                break
            weights = _barycentric(points[self.simplices[facet]], x)
            if weights is not None and weights.min() > best_low:
                best, best_low, corners = weights, float(weights.min()), self.simplices[facet]
        best = np.clip(best, 0.0, None)
        return {int(i): float(w) for i, w in zip(corners, best / best.sum(), strict=True) if w > 1e-8}


def lower_hull(x: NDArray[np.float64], energy: NDArray[np.float64]) -> LowerHull:
    """The lower hull of compounds and their elements.

    Args:
        x: (n, d) mole fractions summing to 1.
        energy: (n,) formation energies in eV/atom, all negative; the elements at zero are added here.

    Returns:
        The affine functions of the lower facets, energies in eV/atom.
    """
    n, d = x.shape
    if n == 0 or d == 1:
        return LowerHull(np.zeros((1, d)), n + np.arange(d)[None], n)
    if d == 2:
        return _lower_chain(x[:, 1], energy)
    if n == 1:
        return _one_compound(x[0], float(energy[0]))
    from scipy.spatial import ConvexHull, QhullError

    scale = float(np.abs(energy).max())
    points = np.zeros((n + d, d))
    points[:n, : d - 1] = x[:, 1:]
    points[:n, d - 1] = energy / scale
    points[n + 1 :, : d - 1] = np.eye(d - 1)
    try:
        hull = ConvexHull(points, qhull_options="Qt")
    except QhullError:
        hull = ConvexHull(points, qhull_options="QJ Pp")  # joggled: only for inputs that qhull calls flat
    down = hull.equations[:, d - 1] < _DOWN
    equations = hull.equations[down]
    slope = -equations[:, : d - 1] / equations[:, d - 1 : d] * scale  # d(energy)/d(x_1..)
    offset = -equations[:, d] / equations[:, d - 1] * scale
    # for all d fractions: a_0 x_0 + ... with sum(x) = 1 absorbs the offset
    coefficients = np.concatenate([offset[:, None], slope + offset[:, None]], axis=1)
    return LowerHull(coefficients, hull.simplices[down].astype(np.intp), n)


def _one_compound(x: NDArray[np.float64], energy: float) -> LowerHull:
    """One compound mixes with elements until one of its own runs out: energy * min(x_i / x0_i), and energy < 0."""
    d = len(x)
    own = np.flatnonzero(x)
    coefficients = np.zeros((len(own), d))
    coefficients[np.arange(len(own)), own] = energy / x[own]
    simplices = np.tile(1 + np.arange(d), (len(own), 1))
    simplices[np.arange(len(own)), own] = 0  # the compound in the place of the element that runs out
    return LowerHull(coefficients, simplices, 1)


def _lower_chain(x: NDArray[np.float64], energy: NDArray[np.float64]) -> LowerHull:
    """The binary case by Andrew's monotone chain: no qhull call for the most frequent small systems."""
    n = len(x)
    order = np.argsort(x, kind="stable")
    points = [(0.0, 0.0, n), *((float(x[i]), float(energy[i]), int(i)) for i in order), (1.0, 0.0, n + 1)]
    chain: list[tuple[float, float, int]] = []
    for p in points:
        while len(chain) > 1 and _turn(chain[-2], chain[-1], p) <= 0:
            chain.pop()
        chain.append(p)
    left = np.array([p[:2] for p in chain[:-1]])
    right = np.array([p[:2] for p in chain[1:]])
    slope = (right[:, 1] - left[:, 1]) / (right[:, 0] - left[:, 0])
    at_zero = left[:, 1] - slope * left[:, 0]
    corners = np.array([p[2] for p in chain], dtype=np.intp)
    return LowerHull(np.stack([at_zero, at_zero + slope], axis=1), np.stack([corners[:-1], corners[1:]], axis=1), n)


def _turn(a: tuple[float, float, int], b: tuple[float, float, int], c: tuple[float, float, int]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _barycentric(corners: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Fractions of the corners (d, d) that make x (d,), None for a simplex without volume."""
    try:
        return np.asarray(np.linalg.solve(corners.T, x), dtype=np.float64)
    except np.linalg.LinAlgError:
        return None


def system_distances(counts: NDArray[np.float64], energy_per_atom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hull distances of all entries of one chemical system in one go: one qhull call, one matmul.

    Args:
        counts: (n, d) atoms of each of the system's d elements.
        energy_per_atom: (n,) in eV, all of one label.

    Returns:
        eV/atom (n,), all NaN where an element has no entry of its own.
    """
    x = counts / counts.sum(axis=1, keepdims=True)
    pure = (counts > 0).sum(axis=1) == 1
    lowest = np.where(x[pure] > 0, energy_per_atom[pure][:, None], np.inf).min(axis=0, initial=np.inf)
    if not np.isfinite(lowest).all():
        return np.full(len(x), np.nan)
    formation = energy_per_atom - x @ lowest
    below = (formation < -FLAT) & ~pure
    above = formation - lower_hull(x[below], formation[below]).energy(x)
    above[np.abs(above) < NOISE] = 0.0
    return above
