"""Space groups by moyopy, snapping a nearly symmetric structure to its symmetric form, and prototype labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.matching.symmetry_dataset import symmetry_dataset

if TYPE_CHECKING:
    from moyopy import MoyoDataset

SYMPREC = 0.01  # angstrom: is it symmetric as it stands?
SNAP_SYMPREC = 0.1  # angstrom: would it be symmetric if atoms moved a little?
MAX_VOLUME_CHANGE = 0.05


class SymmetryError(RuntimeError):
    """The symmetry search failed on a structure; the message says at which tolerance."""


@dataclass(frozen=True)
class Snapped:
    """A structure and its symmetrised form.

    `crystal` is the primitive standard cell with exact symmetry (or the input, where snapping was refused);
    `before` and `after` are space-group numbers, `symprec` the tolerance in angstrom at which `after` was found.
    """

    crystal: Crystal
    before: int
    after: int
    symprec: float
    prototype: str


def moyo_dataset(crystal: Crystal, symprec: float) -> MoyoDataset:
    """Moyo's analysis of a crystal.

    Args:
        crystal: Any.
        symprec: Tolerance in angstrom.

    Returns:
        The data set.

    Raises:
        SymmetryError: No space group is found at that tolerance.
    """
    dataset = symmetry_dataset(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers, [symprec])
    if dataset is None:
        raise SymmetryError(f"no space group found for {crystal.formula_reduced} at {symprec} A: try another tolerance")
    return dataset


def spacegroup_number(crystal: Crystal, symprec: float = SYMPREC) -> int:
    """International number of the space group.

    Args:
        crystal: Any.
        symprec: Tolerance in angstrom.

    Returns:
        1 to 230.

    Raises:
        SymmetryError: No space group is found.
    """
    return int(moyo_dataset(crystal, symprec).number)


@lru_cache(maxsize=230)
def groups_within(number: int) -> frozenset[int]:
    """The space groups that every crystal of a group has at least: in its primitive cell, its own among them.

    Args:
        number: 1 to 230.

    Returns:
        Numbers of its translationengleiche subgroups: Pm-3m has P4mm and P1, but not Fm-3m.
    """
    from moyopy import SpaceGroup, enumerate_translationengleiche_subgroups, operations_from_number

    whole = operations_from_number(number, primitive=True)
    classes = enumerate_translationengleiche_subgroups(whole.rotations, whole.translations)
    parts = [c.representative.operations for c in classes]
    return frozenset(int(SpaceGroup(p.rotations, p.translations).number) for p in parts)


def spacegroup_symbol(number: int) -> str:
    """Short Hermann-Mauguin symbol without spaces, such as `Fm-3m`."""
    from moyopy import SpaceGroupType

    return str(SpaceGroupType(number).hm_short).replace(" ", "")


def crystal_system(number: int) -> str:
    """Crystal system of a space group in lower case, such as `cubic`."""
    from moyopy import SpaceGroupType

    return str(SpaceGroupType(number).crystal_system).lower()


def conventional_matrix(crystal: Crystal, symprec: float = SYMPREC) -> NDArray[np.int64]:
    """The matrix M with conventional lattice = M @ lattice (rows), right-handed.

    Args:
        crystal: Any.
        symprec: Tolerance in angstrom.

    Returns:
        (3, 3) integers; the identity where the transformation isn't integer.
    """
    matrix = np.array(moyo_dataset(crystal, symprec).std_linear).T
    rounded = np.rint(matrix).astype(np.int64)
    if np.abs(matrix - rounded).max() > 1e-6 or round(float(np.linalg.det(rounded))) == 0:
        return np.eye(3, dtype=np.int64)
    return rounded


def snap(crystal: Crystal, symprec: float = SNAP_SYMPREC) -> Snapped:
    """Move a nearly symmetric structure to its symmetric form, keeping the original where that would change it.

    Tolerances are tried from `symprec` downwards; a form whose volume per atom differs by more than 5 % is refused.

    Args:
        crystal: Any.
        symprec: Largest tolerance in angstrom.

    Returns:
        The structure with its space groups before and after.

    Raises:
        SymmetryError: Not even the tight tolerance gives a space group.
    """
    before = moyo_dataset(crystal, SYMPREC)
    tolerance = symprec
    while tolerance > SYMPREC:
        snapped = _try_snap(crystal, tolerance)
        if snapped is not None:
            refined, data = snapped
            return Snapped(refined, int(before.number), int(data.number), tolerance, prototype_label(refined))
        tolerance /= 2
    snapped = _try_snap(crystal, SYMPREC)
    refined = snapped[0] if snapped is not None else crystal
    return Snapped(refined, int(before.number), int(before.number), SYMPREC, prototype_label(refined))


def _try_snap(crystal: Crystal, symprec: float) -> tuple[Crystal, MoyoDataset] | None:
    try:
        data = moyo_dataset(crystal, symprec)
        cell = data.prim_std_cell
        refined = Crystal(np.array(cell.basis), np.array(cell.positions), np.array(cell.numbers))
        ratio = (refined.volume / refined.n_atoms) / (crystal.volume / crystal.n_atoms)
        same_composition = refined.formula_reduced == crystal.formula_reduced
        # The refined structure must really have the symmetry it was given, at the tight tolerance.
        exact = spacegroup_number(refined, SYMPREC) == int(data.number)
    except (SymmetryError, ValueError):
        return None
    return (refined, data) if abs(ratio - 1) < MAX_VOLUME_CHANGE and same_composition and exact else None


def prototype_label(crystal: Crystal, symprec: float = SYMPREC) -> str:
    """AFLOW-like label `AB_cF8_225_a_b`: anonymous formula, Pearson symbol, space group, Wyckoff letters by species.

    Independent of the choice of origin: of all Wyckoff sequences equivalent under the Euclidean normaliser, the
    alphabetically first. Free parameters are not part of it, so equal labels mean the same prototype *family*.

    Args:
        crystal: Any.
        symprec: Tolerance in angstrom.

    Returns:
        The label.

    Raises:
        SymmetryError: No space group is found.
    """
    data = moyo_dataset(crystal, symprec)
    numbers = [int(z) for z in data.std_cell.numbers]
    labels = [_label(numbers, positions) for _, positions in data.normalizer_wyckoff_positions().coset_representatives]
    formula, letters = min(labels)
    return f"{formula}_{data.pearson_symbol}_{data.number}_{letters}"


def _label(numbers: list[int], positions: list) -> tuple[str, str]:
    """Anonymous formula and Wyckoff part of one setting; species are named A, B, ... in the order of the label."""
    sites: dict[int, Counter[str]] = {}
    atoms = Counter(numbers)
    for number, position in zip(numbers, positions, strict=True):
        sites.setdefault(number, Counter())[f"{position.letter}:{position.multiplicity}"] += 1
    divisor = int(np.gcd.reduce(list(atoms.values())))
    parts = []
    for number, letters in sites.items():
        words = []
        for key in sorted(letters):
            letter, multiplicity = key.split(":")
            orbits = letters[key] // int(multiplicity)
            words.append((str(orbits) if orbits > 1 else "") + letter)
        parts.append((atoms[number] // divisor, "".join(words)))
    parts.sort()
    formula = "".join("ABCDEFGHIJKLMNOP"[i] + (str(n) if n > 1 else "") for i, (n, _) in enumerate(parts))
    return formula, "_".join(word for _, word in parts)
