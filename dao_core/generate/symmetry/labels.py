"""The symmetry label of a structure: its space group and the Wyckoff letters of each element, made unique."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.generate.symmetry.wyckoff_tables import LETTERS, multiplicities
from dao_core.generate.templates.elements import element_coordinates
from dao_core.matching.fingerprint import equivalent_labellings
from dao_core.matching.symmetry_dataset import symmetry_dataset

SYMPREC = 0.1  # angstrom
STRICTER = 0.01  # angstrom, where the wider tolerance finds no consistent symmetry


class SymmetryLabelError(ValueError):
    """A structure whose symmetry cannot be written as space group and Wyckoff letters."""


@dataclass(frozen=True)
class Label:
    """Space group, elements (atomic numbers) and for each the letters of its orbits, alphabetical.

    Letters depend on which of several equivalent origins and axes was chosen; `canonical_letters` settles it.
    """

    spacegroup_number: int
    elements: tuple[int, ...]
    letters: tuple[str, ...]

    @property
    def orbits(self) -> list[tuple[int, str]]:
        """(atomic number, letter) of each orbit, in the order of elements and letters."""
        return [(z, letter) for z, group in zip(self.elements, self.letters, strict=True) for letter in group]

    @property
    def counts(self) -> tuple[int, ...]:
        """Atoms of each element in the primitive cell."""
        sizes = multiplicities()[self.spacegroup_number]
        return tuple(int(sum(sizes[LETTERS.index(x)] for x in group)) for group in self.letters)

    def __str__(self) -> str:
        from dao_core.elements import SYMBOLS

        sites = " ".join(f"{SYMBOLS[z]}:{letters}" for z, letters in zip(self.elements, self.letters, strict=True))
        return f"{self.spacegroup_number} {sites}"


@dataclass(frozen=True, eq=False)
class StandardCell:
    """A structure in moyopy's primitive standard cell: `letters` (N,) Wyckoff letters of its atoms."""

    spacegroup_number: int
    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]
    letters: tuple[str, ...]

    def crystal(self) -> Crystal:
        """The same cell as a structure."""
        return Crystal(self.lattice, self.frac_coords, self.atomic_numbers)


def standard_cell(crystal: Crystal) -> StandardCell:
    """The symmetrised primitive standard cell. Raises SymmetryLabelError where no symmetry is found."""
    for symprec in (SYMPREC, STRICTER):
        found = symmetry_dataset(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers, [symprec])
        if found is None:
            continue
        primitive = found.prim_std_cell
        letters = dict(zip(found.mapping_std_prim, found.wyckoffs, strict=True))
        if len(letters) == len(primitive.numbers):
            return StandardCell(
                int(found.number), np.array(primitive.basis), np.array(primitive.positions),
                np.array(primitive.numbers), tuple(letters[i] for i in range(len(letters))),
            )  # fmt: skip
    raise SymmetryLabelError(f"{crystal.formula_reduced}: no symmetry found at {SYMPREC} or {STRICTER} angstrom")


def ordered_elements(atomic_numbers: NDArray[np.int64] | Sequence[int]) -> tuple[int, ...]:
    """The elements by electronegativity, then atomic number: the order of a canonical label."""
    return tuple(sorted({int(z) for z in atomic_numbers}, key=lambda z: (element_coordinates()[z, 0], z)))


def label_of(cell: StandardCell, elements: tuple[int, ...] | None = None) -> Label:
    """The canonical label.

    Args:
        cell: A structure in its standard cell.
        elements: Order of the elements; None takes their own.

    Returns:
        The label.

    Raises:
        SymmetryLabelError: Atoms and multiplicities don't add up (a symmetry search at the edge of its tolerance).
    """
    elements = elements or ordered_elements(cell.atomic_numbers)
    sizes = multiplicities()[cell.spacegroup_number]
    letters = []
    for z in elements:
        atoms = Counter(x for x, number in zip(cell.letters, cell.atomic_numbers, strict=True) if number == z)
        uneven = [x for x, n in atoms.items() if n % sizes[LETTERS.index(x)]]
        if uneven:
            raise SymmetryLabelError(
                f"space group {cell.spacegroup_number}: {atoms[uneven[0]]} atoms on {uneven[0]} are no whole orbits"
            )
        letters.append("".join(x * (n // sizes[LETTERS.index(x)]) for x, n in atoms.items()))
    return Label(cell.spacegroup_number, elements, canonical_letters(cell.spacegroup_number, tuple(letters)))


@lru_cache(maxsize=200_000)
def canonical_letters(number: int, letters: tuple[str, ...]) -> tuple[str, ...]:
    """The alphabetically first of all equivalent labellings, letters of each element sorted.

    Equivalent are those that an element of the space group's normaliser turns into each other.

    Args:
        number: Of the space group.
        letters: Of each element's orbits.

    Returns:
        Letters in the same order of elements.
    """
    return min(
        tuple("".join(sorted((relabelling[x] for x in group), key=LETTERS.index)) for group in letters)
        for relabelling in equivalent_labellings()[number]
    )


def orders_of(label: Label, rng: np.random.Generator, n: int) -> list[Label]:
    """The label with its elements in several orders, its own first; letters are canonical for each order.

    Args:
        label: A canonical label.
        rng: Chooses the orders.
        n: Most labels.

    Returns:
        The labels.
    """
    size = len(label.elements)
    others = list(permutations(range(size)))[1:] if size <= 5 else [tuple(rng.permutation(size)) for _ in range(n)]
    picked = [others[k] for k in rng.permutation(len(others))[: n - 1]]
    out = [label]
    for order in picked:
        letters = canonical_letters(label.spacegroup_number, tuple(label.letters[k] for k in order))
        out.append(Label(label.spacegroup_number, tuple(label.elements[k] for k in order), letters))
    return out
