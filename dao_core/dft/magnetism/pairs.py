"""Pairs of magnetic neighbours: what tells two orderings apart, and how many neighbours are antiparallel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal

SHELLS_CUTOFF = 9.0  # angstrom: pairs that tell two orderings apart
LEAST_SHELLS = 6  # in a sparse crystal the cutoff grows until there are so many
SHELL_GAP = 0.01  # angstrom: shells of neighbours are that far apart at least; numerical noise is far below
NEAREST = 1.12  # distances up to so many times the shortest are those of nearest neighbours (of bcc the second: 1.155)


def neighbour_shells(crystal: Crystal, moments: Mapping[str, float]) -> NDArray[np.float64]:
    """Borders of the shells of magnetic neighbours, angstrom (n + 1,): shell i lies between border i and i + 1.

    They come from one cell and lie between distances, so that noise puts no pair of another cell into another shell.

    Args:
        crystal: Its primitive cell.
        moments: Starting moments of the magnetic elements.
    """
    starts, cutoff = np.array([]), SHELLS_CUTOFF
    while len(starts) < LEAST_SHELLS:
        ordered = np.sort(_magnetic_pairs(crystal, moments, cutoff)[2])
        starts = ordered[np.diff(ordered, prepend=-np.inf) > SHELL_GAP]
        cutoff *= 1.5
    return starts - SHELL_GAP / 2  # the last start closes the one before: its shell may be cut by the cutoff


def _magnetic_pairs(
    cell: Crystal, moments: Mapping[str, float], cutoff: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    from ase.neighborlist import neighbor_list

    sites = [i for i, s in enumerate(cell.symbols) if s in moments]
    first, second, distances = neighbor_list("ijd", cell.to_ase()[sites], cutoff)
    return first, second, distances


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of magnetic sites of a cell: which two, their distance, and the number of their kind (elements, shell)."""

    sites: NDArray[np.intp]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    distances: NDArray[np.float64]
    kinds: tuple[tuple[object, ...], ...]
    kind_of: NDArray[np.intp]

    @classmethod
    def of(cls, cell: Crystal, moments: Mapping[str, float], shells: NDArray[np.float64]) -> Pairs:
        """The pairs of a cell.

        Args:
            cell: The crystal or a supercell of it.
            moments: Starting moments of the magnetic elements, Bohr magnetons.
            shells: Of `neighbour_shells`.
        """
        first, second, distances = _magnetic_pairs(cell, moments, shells[-1])
        sites = np.array([i for i, s in enumerate(cell.symbols) if s in moments])
        elements = [
            sorted((cell.symbols[sites[i]], cell.symbols[sites[j]])) for i, j in zip(first, second, strict=True)
        ]
        of_shell = np.searchsorted(shells, distances) - 1
        names = [(a, b, int(n)) for (a, b), n in zip(elements, of_shell, strict=True)]
        kinds = tuple(sorted(set(names)))
        numbers = {kind: n for n, kind in enumerate(kinds)}
        kind_of = np.array([numbers[n] for n in names], dtype=np.intp)
        return cls(sites, first, second, distances, kinds, kind_of)

    def correlations(self, signs: NDArray[np.signedinteger]) -> tuple[object, ...]:
        """Sum of the products of spins over the pairs of each kind, a site: equal for orderings that symmetry or the
        choice of cell makes equal.
        """
        products = signs[self.first] * signs[self.second]
        sums = np.bincount(self.kind_of, weights=products, minlength=len(self.kinds)) / len(self.sites)
        up = abs(float(signs.mean()))
        return (round(up, 4), *((*kind, round(float(s), 3)) for kind, s in zip(self.kinds, sums, strict=True)))

    def antiparallel(self, signs: NDArray[np.signedinteger]) -> float:
        """Which part of the nearest neighbours is antiparallel, 0 to 1.

        A pair counts where either atom has it among its nearest, so that a sublattice of long distances has its say.

        Args:
            signs: 1 or -1 of each magnetic site.
        """
        nearest = np.full(len(self.sites), np.inf)
        np.minimum.at(nearest, self.first, self.distances)
        near = self.distances <= NEAREST * np.maximum(nearest[self.first], nearest[self.second])
        return float((signs[self.first[near]] != signs[self.second[near]]).mean())
