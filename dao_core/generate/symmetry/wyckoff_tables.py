"""Space groups and their Wyckoff positions in the primitive cell of moyopy's default setting, as arrays.

Letters, multiplicities and representative coordinates are moyopy's own (`data/wyckoff_positions.csv` lists all 1,731,
checked against it in the tests). A point of a position is written p = c + D u: D an integer basis of the lattice
vectors inside the position, so that u lives on a torus.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LETTERS = "abcdefghijklmnopqrstuvwxyzA"
N_LETTERS = len(LETTERS)
N_GROUPS = 231  # row 0 is unused
MAX_COUNT = 64  # atoms of one element in a primitive cell
NO_MULTIPLICITY = 999  # where a group has no such letter
NEIGHBOURS = np.array(list(product((-2, -1, 0, 1, 2), repeat=3)), dtype=float)
AFTER_LAST = N_LETTERS


@dataclass(frozen=True, eq=False)
class WyckoffPosition:
    """One position of a space group: p = `origin` + `directions` @ u, u of shape (r,).

    `multiplicity` counts atoms of the primitive cell; `coordinates_of` (r, 3) takes p - origin back to u; `normal`
    (3, 3) is zero on differences that lie inside the position; `origin` (3,), `directions` (3, r).
    """

    letter: str
    multiplicity: int
    origin: NDArray[np.float64]
    directions: NDArray[np.float64]
    coordinates_of: NDArray[np.float64]
    normal: NDArray[np.float64]

    @property
    def n_free(self) -> int:
        """Free coordinates of an atom there."""
        return self.directions.shape[1]


@lru_cache(maxsize=1)
def _rows() -> dict[int, list[tuple[str, int, str]]]:
    """(letter, multiplicity of the conventional cell, coordinates) by space group."""
    table: dict[int, list[tuple[str, int, str]]] = {n: [] for n in range(1, N_GROUPS)}
    lines = (Path(__file__).parent / "data" / "wyckoff_positions.csv").read_text().splitlines()[1:]
    for line in lines:
        number, letter, multiplicity, _, coordinates = line.split(";")
        table[int(number)].append((letter, int(multiplicity), coordinates))
    return table


@lru_cache(maxsize=1)
def _hall_numbers() -> dict[int, int]:
    """The smallest Hall number of each space group: moyopy's default setting."""
    from moyopy import HallSymbolEntry

    found: dict[int, int] = {}
    for hall in range(1, 531):
        found.setdefault(HallSymbolEntry(hall).number, hall)
    return found


@lru_cache(maxsize=N_GROUPS)
def conventional_cell(number: int) -> NDArray[np.float64]:
    """Integer matrix Q (3, 3) of a space group's centring: conventional rows = Q @ primitive rows."""
    from moyopy import HallSymbolEntry

    return np.array(HallSymbolEntry(_hall_numbers()[number]).centering.linear, dtype=float).T


@lru_cache(maxsize=N_GROUPS)
def wyckoff_positions(number: int) -> dict[str, WyckoffPosition]:
    """The positions of a space group by letter."""
    from pymatgen.core.operations import SymmOp

    to_primitive = conventional_cell(number).T  # columns: x_primitive = Q^T x_conventional
    centring = round(abs(np.linalg.det(to_primitive)))
    found = {}
    for letter, multiplicity, text in _rows()[number]:
        operation = SymmOp.from_xyz_str(text)
        directions = _integer_basis(to_primitive @ operation.rotation_matrix)
        inverse = np.linalg.pinv(directions) if directions.shape[1] else np.zeros((0, 3))
        origin = to_primitive @ operation.translation_vector
        found[letter] = WyckoffPosition(
            letter, multiplicity // centring, origin, directions, np.asarray(inverse), np.eye(3) - directions @ inverse
        )
    return found


def _integer_basis(span: NDArray[np.float64]) -> NDArray[np.float64]:
    """A basis (3, r) of all lattice vectors in the span of the columns, shortest first.

    Raises ValueError where no short basis exists, which happens for no space group.
    """
    rank = int(np.linalg.matrix_rank(span, tol=1e-6))
    if rank in (0, 3):
        return np.eye(3)[:, :rank]
    vectors = np.array(sorted(product(range(-3, 4), repeat=3), key=lambda v: (sum(a * a for a in v), [-a for a in v])))
    vectors = vectors[1:]
    vectors = vectors[np.abs(vectors - vectors @ (span @ np.linalg.pinv(span)).T).max(1) < 1e-6]
    if rank == 1:
        return vectors[:1].T.astype(float)
    for pair in ([i, j] for j in range(1, len(vectors)) for i in range(j)):
        if gcd(*np.cross(*vectors[pair]).tolist()) == 1:
            return vectors[pair].T.astype(float)
    raise ValueError(f"no short integer basis of the plane spanned by {span.tolist()}")


@lru_cache(maxsize=1)
def multiplicities() -> NDArray[np.int64]:
    """Atoms in the primitive cell of each letter, (231, 27); NO_MULTIPLICITY where there is no such letter."""
    table = np.full((N_GROUPS, N_LETTERS), NO_MULTIPLICITY)
    for number, rows in _rows().items():
        centring = round(abs(np.linalg.det(conventional_cell(number))))
        for letter, multiplicity, _ in rows:
            table[number, LETTERS.index(letter)] = multiplicity // centring
    return table


def point_group_order(number: int) -> int:
    """Operations of a space group apart from translations: atoms of its general position in the primitive cell."""
    row = multiplicities()[number]
    return int(row[row != NO_MULTIPLICITY].max())


@lru_cache(maxsize=1)
def repeatable() -> NDArray[np.bool_]:
    """Letters that several orbits of a structure can share because they have a free coordinate, (231, 27)."""
    table = np.zeros((N_GROUPS, N_LETTERS), dtype=bool)
    for number, rows in _rows().items():
        for letter, _, coordinates in rows:
            table[number, LETTERS.index(letter)] = any(axis in coordinates for axis in "xyz")
    return table


@lru_cache(maxsize=1)
def position_ids() -> NDArray[np.int64]:
    """A running number for each (space group, letter), (231, 27); 0 where there is no such letter."""
    exists = multiplicities() < NO_MULTIPLICITY
    table = np.zeros((N_GROUPS, N_LETTERS), dtype=np.int64)
    table[exists] = np.arange(exists.sum())
    return table


@lru_cache(maxsize=1)
def all_positions() -> list[tuple[int, str]]:
    """(space group, letter) in the order of `position_ids`."""
    return [(number, letter) for number, rows in _rows().items() for letter, _, _ in rows]


@lru_cache(maxsize=1)
def reachable() -> NDArray[np.bool_]:
    """Whether n atoms of an element fit on letters from one on, (231, 28, MAX_COUNT + 1); the last row has none left.

    A letter without a free coordinate is used at most once.
    """
    sizes, free = multiplicities(), repeatable()
    table = np.zeros((N_GROUPS, N_LETTERS + 1, MAX_COUNT + 1), dtype=bool)
    table[1:, AFTER_LAST, 0] = True
    for number, letter in product(range(1, N_GROUPS), reversed(range(N_LETTERS))):
        row = table[number, letter + 1].copy()
        size = sizes[number, letter]
        if size <= MAX_COUNT and not free[number, letter]:
            row[size:] |= table[number, letter + 1, : MAX_COUNT + 1 - size]
        elif size <= MAX_COUNT:
            for n in range(size, MAX_COUNT + 1):
                row[n] |= row[n - size]
        table[number, letter] = row
    return table


@lru_cache(maxsize=N_GROUPS)
def group_classes(number: int) -> tuple[str, str, str]:
    """(crystal class, centring, crystal system) of a space group, such as ('m-3m', 'F', 'Cubic')."""
    from moyopy import SpaceGroupType

    group = SpaceGroupType(number)
    return str(group.geometric_crystal_class), str(group.hm_short)[0], str(group.crystal_system)
