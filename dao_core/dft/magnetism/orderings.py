"""Collinear magnetic orderings of a crystal: sign patterns on its magnetic sites in cells up to four times as large.

Supercells are the Hermite normal forms of each index (Hart and Forcade, Phys. Rev. B 77, 224115 (2008)); of patterns
that symmetry makes equal one is kept. Ferromagnetic comes first, then small and symmetric orderings, and of these the
ones with more antiparallel neighbours. A crystal with too many magnetic sites for all patterns gets those of
`propagation`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.dft.magnetism.pairs import Pairs, neighbour_shells
from dao_core.dft.magnetism.propagation import MagneticLattice, Signs, propagated_patterns

OrderingKind = Literal["ferromagnetic", "antiferromagnetic", "ferrimagnetic"]
MAX_MAGNETIC_SITES = 8  # of a cell: 128 patterns; of more sites, not all are tried
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
    n_sites = sum(s in moments for s in crystal.symbols)
    sizes = [n for n in range(1, max_cell + 1) if n == 1 or n * n_sites <= MAX_MAGNETIC_SITES]
    trials = []
    for index in sizes:
        for transformation in hermite_normal_forms(index):
            cell = supercell(crystal, transformation)
            pairs = Pairs.of(cell, moments, shells)
            lattice = MagneticLattice.of(cell, pairs.sites)
            every = n_sites <= MAX_MAGNETIC_SITES
            patterns = sign_patterns(len(pairs.sites)) if every else propagated_patterns(lattice)
            trials += [_trial(cell, pairs, lattice, np.array(signs), moments, index) for signs in patterns]
    found = _distinct(trials)
    notes = []
    if len(found) > max_orderings:
        notes.append(f"{max_orderings} of {len(found)} magnetic orderings computed; max_orderings lifts the limit")
    if n_sites > MAX_MAGNETIC_SITES and max_orderings > 1:
        notes.append(
            f"of {n_sites} magnetic sites only orderings with one propagation vector in the cell were considered"
        )
    elif len(sizes) < max_cell:
        cells = ", ".join(f"{n}x" for n in range(len(sizes) + 1, max_cell + 1))
        notes.append(f"cells {cells} hold more than {MAX_MAGNETIC_SITES} magnetic sites and were not enumerated")
    return Orderings(_labelled(found[:max_orderings]), len(found), "; ".join(notes))


@dataclass(frozen=True, eq=False)
class _Trial:
    """A pattern on a cell of so many primitive ones (`index`).

    `rank` is 0 for the ferromagnetic one, 1 as a rule, 2 for what is rare. `order` puts symmetric patterns before
    others, by the crystal's own operations and then by those of its magnetic atoms alone, and of equally symmetric ones
    those with more antiparallel neighbours. `correlations` are equal for equal orderings, `domain` also for those that
    only differ by the distortion of the magnetic lattice.
    """

    ordering: Ordering
    index: int
    rank: int
    order: tuple[float, float, float]
    correlations: tuple[object, ...]
    domain: tuple[object, ...]


def _trial(
    cell: Crystal, pairs: Pairs, lattice: MagneticLattice, signs: Signs, moments: Mapping[str, float], index: int
) -> _Trial:
    values = [0.0] * cell.n_atoms
    for sign, site in zip(signs.tolist(), pairs.sites.tolist(), strict=True):
        values[site] = sign * moments[cell.symbols[site]]
    kind, n_operations = _kind(values), lattice.n_operations(signs)
    # a ferrimagnet whose spins cancel in part within one orbit is rare
    rare = kind == "ferrimagnetic" and (index > 1 or not lattice.is_uniform(signs))
    return _Trial(
        Ordering(kind, cell, tuple(values), "", n_operations),
        index,
        0 if kind == "ferromagnetic" else 2 if rare else 1,
        (-n_operations, -lattice.n_pseudo_operations(signs), -pairs.antiparallel(signs)),
        pairs.correlations(signs),
        (cell, lattice.canonical(signs)),
    )


def _distinct(trials: Sequence[_Trial]) -> list[_Trial]:
    """Trials in the order in which they are computed, of equal ones one. Of domains, one comes before the others."""
    seen: set[tuple[object, ...]] = set()
    domains: Counter[tuple[object, ...]] = Counter()
    numbered = []
    for trial in sorted(trials, key=lambda t: (t.rank, t.index, t.order)):
        if trial.correlations not in seen:
            seen.add(trial.correlations)
            domains[trial.domain] += 1
            numbered.append((trial.rank, trial.index, domains[trial.domain], trial))
    return [row[-1] for row in sorted(numbered, key=lambda row: row[:3])]


def _labelled(trials: Sequence[_Trial]) -> tuple[Ordering, ...]:
    counts: Counter[str] = Counter()
    out = []
    for trial in trials:
        name = f"{trial.ordering.kind} {trial.index}x"
        counts[name] += 1
        out.append(replace(trial.ordering, label=f"{name} #{counts[name]}"))
    return tuple(out)


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
