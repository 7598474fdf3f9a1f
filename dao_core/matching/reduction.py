"""The reduced primitive cell: what two descriptions of one crystal have in common, whatever cell they were written in.

pymatgen's `get_primitive_structure` accepts shifts that map a structure on itself only roughly, and so gives a
two-atom cell for the conventional Na2O2 whose primitive cell has four. Here a translation counts only if it is exact as
a fraction of the cell, maps every atom on one of its kind within the tolerance, and is closed with the others under
addition; so a cell and its supercells have the same translations.
"""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal, wrap
from dao_core.matching.alignment import Cell

TOLERANCES = (0.25, 0.1, 0.03, 0.01)  # angstrom, tried until the translations form a group; the first is pymatgen's


def niggli_cell(lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], numbers: NDArray[np.int64]) -> Cell:
    """The Niggli-reduced, right-handed cell in the same orientation; atoms keep their order.

    Args:
        lattice: (3, 3), rows in angstrom.
        frac_coords: (N, 3).
        numbers: atomic numbers, (N,).

    Returns:
        The cell.
    """
    import moyopy

    _, columns = moyopy.niggli_reduce(lattice.tolist())
    transform = np.array(columns, dtype=np.float64).T  # reduced = transform @ lattice
    return Cell(transform @ lattice, wrap(frac_coords @ np.rint(np.linalg.inv(transform))), numbers)


def reduced_primitive(crystal: Crystal) -> Cell:
    """The Niggli-reduced primitive cell, with atoms that a translation joins averaged."""
    cell = niggli_cell(crystal.lattice, crystal.frac_coords, np.asarray(crystal.atomic_numbers, dtype=np.int64))
    for tolerance in TOLERANCES:
        order, translations = _translations(cell, tolerance)
        if len(translations) > 1 and _is_group(translations, order):
            return _averaged(cell, translations / order)
    return cell


def _translations(cell: Cell, tolerance: float) -> tuple[int, NDArray[np.int64]]:
    """Translations inside the cell that map the crystal on itself, as integers over `order`: (order, (T, 3)).

    A translation of the crystal joins atoms of the rarest species, and its order divides every count of atoms.
    """
    species, counts = np.unique(cell.numbers, return_counts=True)
    order = gcd(*counts.tolist())
    translations = {(0, 0, 0)}
    sites = cell.frac[cell.numbers == species[counts.argmin()]]
    for shift in sites[1:] - sites[0]:
        for divisor in (d for d in range(2, order + 1) if order % d == 0):
            whole = np.rint(shift * divisor)
            rounding = (shift - whole / divisor) @ cell.matrix
            if np.linalg.norm(rounding) <= 2 * tolerance and _maps_on_itself(cell, whole / divisor, tolerance):
                translations.add(tuple((whole.astype(np.int64) * (order // divisor) % order).tolist()))
                break
    return order, np.array(sorted(translations), dtype=np.int64)


def _partners(cell: Cell, shift: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For each atom moved by `shift`: the nearest atom of its kind (N,), and the vector to it in fractions (N, 3)."""
    delta = cell.frac[None, :, :] - (cell.frac + shift)[:, None, :]
    delta -= np.rint(delta)
    squares = ((delta @ cell.matrix) ** 2).sum(axis=-1)
    squares[cell.numbers[:, None] != cell.numbers[None, :]] = np.inf
    nearest = squares.argmin(axis=1)
    return nearest, delta[np.arange(len(nearest)), nearest]


def _maps_on_itself(cell: Cell, shift: NDArray[np.float64], tolerance: float) -> bool:
    nearest, delta = _partners(cell, shift)
    if len(np.unique(nearest)) < len(nearest):
        return False
    return bool(np.linalg.norm(delta @ cell.matrix, axis=1).max() <= tolerance)


def _is_group(translations: NDArray[np.int64], order: int) -> bool:
    sums = (translations[:, None, :] + translations[None, :, :]) % order
    present = {tuple(t) for t in translations.tolist()}
    return all(tuple(s) in present for s in sums.reshape(-1, 3).tolist())


def _averaged(cell: Cell, translations: NDArray[np.float64]) -> Cell:
    """The cell spanned by the lattice and the translations (T, 3), each atom the mean of those that they join."""
    partners = [_partners(cell, t) for t in translations]
    frac = cell.frac + np.mean([delta for _, delta in partners], axis=0)  # each partner moved back lies at x + delta
    joined = np.stack([nearest for nearest, _ in partners])  # (T, N)
    kept = np.unique(joined.min(axis=0))
    basis = _basis(translations)  # (3, 3) in fractions of the old cell
    matrix = basis @ cell.matrix
    return niggli_cell(matrix, frac[kept] @ np.linalg.inv(basis), cell.numbers[kept])


def _basis(translations: NDArray[np.float64]) -> NDArray[np.float64]:
    """A basis of the lattice that the unit vectors and the translations (T, 3) span, by integer elimination."""
    order = len(translations)
    rows = np.concatenate([np.rint(translations * order), order * np.eye(3)]).astype(np.int64)
    basis = []
    for column in range(3):
        while np.count_nonzero(rows[:, column]) > 1:
            used = np.flatnonzero(rows[:, column])
            pivot = used[np.abs(rows[used, column]).argmin()]
            others = used[used != pivot]
            rows[others] -= (rows[others, column] // rows[pivot, column])[:, None] * rows[pivot]
        (pivot,) = np.flatnonzero(rows[:, column])
        basis.append(rows[pivot])
        rows = np.delete(rows, pivot, axis=0)
    return np.array(basis) / order
