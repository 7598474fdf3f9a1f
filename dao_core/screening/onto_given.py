"""Suggested structures in a given lattice, and around given atoms: what fits is taken, and brought there exactly.

Templates and the symmetry model know nothing of what a user gives. Their structures of the cell's content, or of a
whole part of it, are compared with it instead: one whose lattice, perhaps that of a supercell, has the given shape is
strained onto it, and one that has atoms where the framework's are is moved there.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal

if TYPE_CHECKING:
    from dao_core.generate.constraints import Constraint

LENGTHS, ANGLES = 0.06, 6.0  # how far a cell of the right volume may be off: relative, and degrees
ATOMS = 0.6  # angstrom that a framework's atom may be off
MOST_ATOMS = 64  # of a cell in which ways of lying are looked for


def parts_of(cell: dict[str, int]) -> list[dict[str, int]]:
    """The contents of which a cell is a whole number, itself last: a given lattice need not be primitive.

    >>> parts_of({"Na": 4, "Cl": 4})
    [{'Na': 1, 'Cl': 1}, {'Na': 2, 'Cl': 2}, {'Na': 4, 'Cl': 4}]

    Args:
        cell: Symbol -> atoms.

    Returns:
        Symbol -> atoms of each part, the smallest first.
    """
    units = gcd(*cell.values())
    return [{s: n * k // units for s, n in cell.items()} for k in range(1, units + 1) if units % k == 0]


def onto_given(crystal: Crystal, constraint: Constraint, cell: dict[str, int]) -> Crystal | None:
    """A structure in the given lattice and, where there are given atoms, with these where they were given.

    Args:
        crystal: A structure of the cell's content, or of a part of it (`parts_of`).
        constraint: A lattice or a framework.
        cell: Symbol -> atoms of the given lattice.

    Returns:
        The structure, atoms in the order of `Constraint.numbers`, or None where it does not fit.
    """
    size = sum(cell.values())
    if constraint.cell is None or size > MOST_ATOMS:
        return None
    best: tuple[float, Crystal] | None = None
    for strain, lying in _laid(crystal, constraint.cell, size // crystal.n_atoms):
        if constraint.framework is None:
            off, made = strain, lying
        else:
            found = _moved(lying, constraint.framework)
            if found is None:
                continue
            off, made = found
        if best is None or off < best[0]:
            best = off, made
    return None if best is None else _ordered(best[1], constraint)


def _laid(crystal: Crystal, lattice: NDArray[np.float64], copies: int) -> Iterator[tuple[float, Crystal]]:
    """Supercells of so many copies that have the given lattice's shape, strained onto it, with their strain."""
    from pymatgen.core import Lattice, Structure

    volume = abs(float(np.linalg.det(lattice)))
    own = crystal.lattice * (volume / copies / crystal.volume) ** (1 / 3)
    target, metric = Lattice(lattice), lattice @ lattice.T
    for near, _, scale in Lattice(own).find_all_mappings(target, LENGTHS, ANGLES, skip_rotation_matrix=True):
        if round(abs(float(np.linalg.det(scale)))) != copies:
            continue
        structure = Structure(Lattice(own), crystal.atomic_numbers.tolist(), crystal.frac_coords)
        structure.make_supercell(np.rint(scale).astype(int), to_unit_cell=True)
        strain = float(np.abs(near.matrix @ near.matrix.T - metric).max() / metric.diagonal().mean())
        numbers = np.array([site.specie.Z for site in structure])
        yield strain, Crystal(lattice.copy(), structure.frac_coords, numbers)


def _moved(crystal: Crystal, framework: Crystal) -> tuple[float, Crystal] | None:
    """The structure moved such that the framework's atoms lie on its own, which come first, and how far they were off.

    None where no translation brings one of its atoms within reach of each of the framework's.
    """
    rarest = min(set(framework.atomic_numbers.tolist()), key=lambda z: int((crystal.atomic_numbers == z).sum()))
    anchor = framework.frac_coords[framework.atomic_numbers == rarest][0]
    tried = (
        _centred(crystal, anchor - start, framework) for start in crystal.frac_coords[crystal.atomic_numbers == rarest]
    )
    best = min((t for t in tried if t is not None), key=lambda t: t.off, default=None)
    if best is None or best.off > ATOMS:
        return None
    rest = [i for i in range(crystal.n_atoms) if i not in set(best.pairs)]
    return best.off, Crystal(
        framework.lattice.copy(),
        np.concatenate([framework.frac_coords, best.frac[rest]]),
        np.concatenate([framework.atomic_numbers, crystal.atomic_numbers[rest]]),
    )


class _Tried(NamedTuple):
    """A translated structure: largest distance of a framework's atom to its own (angstrom), coordinates, own atoms."""

    off: float
    frac: NDArray[np.float64]
    pairs: list[int]


def _centred(crystal: Crystal, shift: NDArray[np.float64], framework: Crystal) -> _Tried | None:
    """The structure moved by about `shift`: the mean of all pairs is a better origin than one atom."""
    frac = crystal.frac_coords + shift
    pairs = _pairs(frac, crystal.atomic_numbers, framework)
    if pairs is None:
        return None
    away = framework.frac_coords - frac[pairs]
    away -= np.round(away)
    left = (away - away.mean(axis=0)) @ framework.lattice
    return _Tried(float(np.linalg.norm(left, axis=1).max()), frac + away.mean(axis=0), pairs)


def _pairs(frac: NDArray[np.float64], numbers: NDArray[np.int64], framework: Crystal) -> list[int] | None:
    """The atom that is nearest to each of the framework's, each taken once; None where they are too few."""
    from scipy.optimize import linear_sum_assignment

    out = np.full(framework.n_atoms, -1)
    for z in set(framework.atomic_numbers.tolist()):
        asked, there = np.flatnonzero(framework.atomic_numbers == z), np.flatnonzero(numbers == z)
        if len(there) < len(asked):
            return None
        away = framework.frac_coords[asked][:, None] - frac[there][None]
        away -= np.round(away)
        rows, columns = linear_sum_assignment(((away @ framework.lattice) ** 2).sum(axis=-1))
        out[asked[rows]] = there[columns]
    return [int(i) for i in out]


def _ordered(crystal: Crystal, constraint: Constraint) -> Crystal:
    """The kept atoms first, the others by atomic number."""
    kept = constraint.n_kept
    rest = kept + np.argsort(crystal.atomic_numbers[kept:], kind="stable")
    order = np.concatenate([np.arange(kept), rest])
    return crystal.replace(frac_coords=crystal.frac_coords[order], atomic_numbers=crystal.atomic_numbers[order])
