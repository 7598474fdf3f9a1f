"""Collinear magnetic orderings of a crystal: sign patterns on its magnetic sites in cells up to four times as large.

Supercells are the Hermite normal forms of each index (Hart and Forcade, Phys. Rev. B 77, 224115 (2008)); of patterns
that symmetry makes equal one is kept. Ferromagnetic comes first, then small and symmetric orderings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal

OrderingKind = Literal["ferromagnetic", "antiferromagnetic", "ferrimagnetic"]
MAX_MAGNETIC_SITES = 8  # of a supercell: 128 patterns; more are not enumerated
SHELLS_CUTOFF = 9.0  # angstrom: pairs that tell two orderings apart
LEAST_SHELLS = 6  # in a sparse crystal the cutoff grows until there are so many
SHELL_GAP = 0.01  # angstrom: shells of neighbours are that far apart at least; numerical noise is far below
UP, DOWN = 1, -1


@dataclass(frozen=True, eq=False)
class Ordering:
    """One ordering.

    Attributes:
        kind: By its net moment.
        crystal: The cell that holds it, a supercell of the crystal's.
        moments: Starting moments per site, Bohr magnetons.
        label: Kind, size and a number, such as "antiferromagnetic 2x #1".
        n_operations: Symmetry operations that keep it.
    """

    kind: OrderingKind
    crystal: Crystal
    moments: tuple[float, ...]
    label: str
    n_operations: int


@dataclass(frozen=True, eq=False)
class Orderings:
    """What was enumerated: the orderings to compute, and how many a limit cut away (`note` says it in words)."""

    kept: tuple[Ordering, ...]
    n_found: int
    note: str = ""


def enumerate_orderings(
    crystal: Crystal, moments: Mapping[str, float], *, max_cell: int = 4, max_orderings: int = 6
) -> Orderings:
    """Symmetry-inequivalent collinear orderings of a crystal.

    Args:
        crystal: Its primitive cell.
        moments: Starting moments of the magnetic elements, Bohr magnetons.
        max_cell: Largest supercell, in primitive cells.
        max_orderings: So many are kept; the rest is counted.

    Returns:
        The orderings, ferromagnetic first.
    """
    shells = neighbour_shells(crystal, moments)
    seen: set[tuple[object, ...]] = set()
    found: list[tuple[int, Ordering]] = []
    too_large: set[int] = set()
    for index in range(1, max_cell + 1):
        if index * sum(s in moments for s in crystal.symbols) > MAX_MAGNETIC_SITES:
            too_large.add(index)
            continue
        for transformation in hermite_normal_forms(index):
            cell = supercell(crystal, transformation)
            pairs = _Pairs.of(cell, moments, shells)
            for signs in sign_patterns(len(pairs.sites)):
                key = pairs.correlations(np.array(signs))
                if key in seen:
                    continue
                seen.add(key)
                values = np.zeros(cell.n_atoms)
                values[pairs.sites] = [s * moments[cell.symbols[i]] for s, i in zip(signs, pairs.sites, strict=True)]
                found.append((index, _ordering(cell, values)))
    return _ranked(found, max_orderings, too_large)


def _ordering(cell: Crystal, moments: NDArray[np.float64]) -> Ordering:
    import spglib

    kinds = cell.atomic_numbers * 3 + np.sign(moments).astype(int) + 1
    symmetry = spglib.get_symmetry((cell.lattice, cell.frac_coords, kinds), symprec=1e-3)
    n_operations = 1 if symmetry is None else len(symmetry["rotations"])
    values = tuple(float(m) for m in moments)
    return Ordering(_kind(values), cell, values, "", n_operations)


def _ranked(found: list[tuple[int, Ordering]], limit: int, too_large: set[int]) -> Orderings:
    found.sort(key=lambda pair: _likeliness(*pair))
    counts: dict[str, int] = {}
    kept = []
    for index, ordering in found[:limit]:
        name = f"{ordering.kind} {index}x"
        counts[name] = counts.get(name, 0) + 1
        kept.append(
            Ordering(
                ordering.kind, ordering.crystal, ordering.moments, f"{name} #{counts[name]}", ordering.n_operations
            )
        )
    notes = []
    if len(found) > limit:
        notes.append(f"{limit} of {len(found)} magnetic orderings computed; max_orderings lifts the limit")
    if too_large:
        cells = ", ".join(f"{n}x" for n in sorted(too_large))
        notes.append(f"cells {cells} hold more than {MAX_MAGNETIC_SITES} magnetic sites and were not enumerated")
    return Orderings(tuple(kept), len(found), "; ".join(notes))


def _likeliness(index: int, ordering: Ordering) -> tuple[int, int, int]:
    """Ferromagnetic first, then by size; ferrimagnetic supercells of one sublattice are rare and come last."""
    late = ordering.kind == "ferrimagnetic" and index > 1
    return (0 if ordering.kind == "ferromagnetic" else 2 if late else 1), index, -ordering.n_operations


def hermite_normal_forms(index: int) -> Iterator[NDArray[np.int64]]:
    """Every sublattice of an index once, as a lower triangular matrix of rows (3, 3)."""
    for a in (d for d in range(1, index + 1) if index % d == 0):
        for b in (d for d in range(1, index // a + 1) if (index // a) % d == 0):
            c = index // a // b
            for x, y, z in product(range(a), range(a), range(b)):
                yield np.array([[a, 0, 0], [x, b, 0], [y, z, c]])


def supercell(crystal: Crystal, transformation: NDArray[np.int64]) -> Crystal:
    """A supercell with reduced vectors.

    Args:
        crystal: The cell.
        transformation: (3, 3) integers M; the lattice is M @ lattice.

    Returns:
        The supercell.
    """
    from ase.build import make_supercell, niggli_reduce

    atoms = make_supercell(crystal.to_ase(), transformation, wrap=True)
    if round(abs(np.linalg.det(transformation))) > 1:
        niggli_reduce(atoms)
    return Crystal.from_ase(atoms)


def sign_patterns(n: int) -> Iterator[tuple[int, ...]]:
    """Every choice of up and down for n sites, the first one up: turning all around changes nothing."""
    for rest in product((UP, DOWN), repeat=max(0, n - 1)):
        yield (UP, *rest)[:n]


def _kind(moments: Sequence[float]) -> OrderingKind:
    total, size = abs(sum(moments)), sum(map(abs, moments))
    if total < 1e-6:
        return "antiferromagnetic"
    return "ferromagnetic" if abs(total - size) < 1e-6 else "ferrimagnetic"


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
class _Pairs:
    """Pairs of magnetic sites of a cell: which two, and the number of their kind (elements and shell)."""

    sites: NDArray[np.intp]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    kinds: tuple[tuple[object, ...], ...]
    kind_of: NDArray[np.intp]

    @classmethod
    def of(cls, cell: Crystal, moments: Mapping[str, float], shells: NDArray[np.float64]) -> _Pairs:
        first, second, distances = _magnetic_pairs(cell, moments, shells[-1])
        sites = np.array([i for i, s in enumerate(cell.symbols) if s in moments])
        elements = [
            sorted((cell.symbols[sites[i]], cell.symbols[sites[j]])) for i, j in zip(first, second, strict=True)
        ]
        of_shell = np.searchsorted(shells, distances) - 1
        names = [(a, b, int(n)) for (a, b), n in zip(elements, of_shell, strict=True)]
        kinds = tuple(sorted(set(names)))
        numbers = {kind: n for n, kind in enumerate(kinds)}
        return cls(sites, first, second, kinds, np.array([numbers[n] for n in names], dtype=np.intp))

    def correlations(self, signs: NDArray[np.int_]) -> tuple[object, ...]:
        """Sum of the products of spins over the pairs of each kind, a site: equal for orderings that symmetry or the
        choice of cell makes equal.
        """
        products = signs[self.first] * signs[self.second]
        sums = np.bincount(self.kind_of, weights=products, minlength=len(self.kinds)) / len(self.sites)
        up = abs(float(signs.mean()))
        return (round(up, 4), *((*kind, round(float(s), 3)) for kind, s in zip(self.kinds, sums, strict=True)))
