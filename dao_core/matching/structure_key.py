"""Exact keys of a structure: what two copies of one crystal must share, computed once by symmetry analysis.

`structure_key` holds formula, sites of the primitive cell, space group and Wyckoff letters; `prototype_key` the same
without the elements' names. Letters are made canonical over the normalizer (rocksalt with Na on a and Cl on
b is the same crystal as the reverse), and mirror-image space groups share one number, as matching does not tell them
apart either.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dao_core.elements import SYMBOLS, reduced_formula
from dao_core.matching.same import without_hand
from dao_core.matching.symmetry_dataset import symmetry_dataset

SYMPREC = 0.1  # angstrom, the Materials Project's choice: copies from different relaxations fall together
_RETRY = (0.01, 0.03)


@dataclass(frozen=True)
class Keys:
    """What symmetry says about a structure; `spacegroup_number` is None where the analysis failed."""

    spacegroup_number: int | None
    structure_key: str
    prototype_key: str | None


def keys_of(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    atomic_numbers: NDArray[np.integer],
    *,
    symprec: float = SYMPREC,
    formula: str | None = None,
) -> Keys:
    """Keys of one structure.

    Args:
        lattice: (3, 3), rows in angstrom.
        frac_coords: (N, 3).
        atomic_numbers: (N,).
        symprec: Tolerance of the symmetry analysis in angstrom; stricter ones are tried where it fails.
        formula: The reduced formula where it is known already.

    Returns:
        The keys; where no symmetry is found the structure key holds the formula and a question mark.
    """
    formula = formula or reduced_formula(atomic_numbers)
    dataset = symmetry_dataset(lattice, frac_coords, atomic_numbers, (symprec, *_RETRY))
    if dataset is None:
        return Keys(None, f"{formula}|?", None)
    n_primitive = len(dataset.prim_std_cell.numbers)
    copies = len(atomic_numbers) // n_primitive
    sites: dict[int, Counter[str]] = {}
    for z, letter in zip(atomic_numbers.tolist(), _site_names(dataset), strict=True):
        sites.setdefault(z, Counter())[letter] += 1
    group = without_hand(dataset.number)
    letters = tuple(sorted({letter for counter in sites.values() for letter in counter}))
    renamed = [
        {z: _spell(counter, renaming, copies) for z, counter in sites.items()}
        for renaming in _renamings(dataset, letters)
    ]
    named = min(" ".join(f"{SYMBOLS[z]}:{text}" for z, text in sorted(names.items())) for names in renamed)
    anonymous = min(" ".join(sorted(names.values())) for names in renamed)
    return Keys(dataset.number, f"{formula}|{n_primitive}|{group}|{named}", f"{group}|{anonymous}")


def _spell(counter: Counter[str], renaming: dict[str, str], copies: int) -> str:
    """Letters with their atoms in the primitive cell, such as a1c3."""
    return "".join(f"{name}{n // copies}" for name, n in sorted((renaming[k], n) for k, n in counter.items()))


# Below space group 75 the choice of axes is free and letters depend on it (in P-1 all eight inversion centres trade
# names), so the site symmetry stands in for the letter there.
_LETTERS_FROM = 75
_RENAMINGS: dict[tuple[int, tuple[str, ...]], list[dict[str, str]]] = {}


def _site_names(dataset: Any) -> list[str]:
    """A name for each atom's kind of site: its Wyckoff letter, or its site symmetry where letters are not unique."""
    if dataset.number >= _LETTERS_FROM:
        return list(dataset.wyckoffs)
    return ["".join(sorted(symbol.replace(".", ""))) + "_" for symbol in dataset.site_symmetry_symbols]


def _renamings(dataset: Any, letters: tuple[str, ...]) -> list[dict[str, str]]:
    """How the normalizer renames these letters: a property of the space group from 75 on, so computed once a set."""
    if dataset.number < _LETTERS_FROM:
        return [{name: name for name in letters}]
    key = (dataset.hall_number, letters)
    if key not in _RENAMINGS:
        _RENAMINGS[key] = _renamings_of(dataset, letters)
    return _RENAMINGS[key]


def _renamings_of(dataset: Any, letters: tuple[str, ...]) -> list[dict[str, str]]:
    """From the symmetrised cell, whose symmetry is exact: the answer then depends on group and letters alone."""
    import moyopy

    same = [{name: name for name in letters}]
    try:
        exact = moyopy.MoyoDataset(dataset.std_cell, symprec=1e-3)
        sequences = exact.normalizer_wyckoff_positions().coset_representatives
    except ValueError:  # moyopy gives up: letters stay, at worst a duplicate is not seen
        return same
    spelled = [[w.letter for w in positions] for _, positions in sequences]
    first = next((s for s in spelled if tuple(sorted(set(s))) == letters), None)
    return same if first is None else [dict(zip(first, other, strict=True)) for other in spelled]
