"""Crystals that were seen, to ask of another whether it is one of them: fingerprints first, then the matcher."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.matching.alignment import Cell
from dao_core.matching.fingerprint import SAME_DISTANCE, fingerprint, fingerprint_distance, slots_of
from dao_core.matching.reduction import reduced_primitive
from dao_core.matching.same import LOOSE, same_reduced

NEAREST = 3  # of those with a near fingerprint are compared: polytypes can have a hundred
LARGEST = 16  # atoms: in larger cells near fingerprints are taken for one crystal, as a comparison can take a second


class SeenCrystals:
    """Crystals of one composition, in the order in which they were added.

    Near fingerprints alone don't make two crystals one: those of face-centred, body-centred and hexagonal metals, of
    polytypes, and of some structures of quite different cells, are nearer than those of one structure before and after
    a relaxation. The matcher decides, at the tolerance of what a relaxation brings together, in cells of up to LARGEST
    atoms.
    """

    def __init__(self, crystals: Iterable[Crystal] = ()) -> None:
        """Start with some crystals."""
        self._crystals: list[Crystal] = []
        self._fingerprints: list[NDArray[np.float32]] = []
        self._reduced: dict[int, Cell] = {}
        for crystal in crystals:
            self.add(crystal)

    def __len__(self) -> int:
        return len(self._crystals)

    def add(self, crystal: Crystal, print_: NDArray[np.float32] | None = None) -> None:
        """Remember a crystal.

        Args:
            crystal: Of the same elements in the same proportions as the others.
            print_: Its fingerprint, if it is there.
        """
        self._crystals.append(crystal)
        self._fingerprints.append(fingerprint_of(crystal) if print_ is None else print_)

    def find(
        self,
        crystal: Crystal,
        print_: NDArray[np.float32] | None = None,
        surely: Callable[[int], bool] = lambda _: False,
    ) -> int | None:
        """Which of them a crystal is, the nearest first; None if it is another.

        Args:
            crystal: Any.
            print_: Its fingerprint, if it is there.
            surely: Called with the index of one with a near fingerprint; where it returns True, that is the answer
                without the matcher.
        """
        if not self._crystals:
            return None
        away = fingerprint_distance(np.stack(self._fingerprints), fingerprint_of(crystal) if print_ is None else print_)
        near = np.flatnonzero(away < SAME_DISTANCE)
        own = None
        for i in near[np.argsort(away[near], kind="stable")][:NEAREST].tolist():
            if surely(i):
                return i
            own = own or reduced_primitive(crystal)
            if _same(self._cell(i), own):
                return i
        return None

    def _cell(self, i: int) -> Cell:
        if i not in self._reduced:
            self._reduced[i] = reduced_primitive(self._crystals[i])
        return self._reduced[i]


def _same(first: Cell, second: Cell) -> bool:
    n = len(first.numbers)
    return n == len(second.numbers) and (n > LARGEST or same_reduced(first, second, LOOSE))


def fingerprint_of(crystal: Crystal) -> NDArray[np.float32]:
    """Independent of the cell in which a crystal is written."""
    return fingerprint(crystal, slots_of(crystal.atomic_numbers))
