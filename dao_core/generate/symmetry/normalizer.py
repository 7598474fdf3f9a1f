"""Equivalent descriptions of one structure: a space group's normaliser and what it does to Wyckoff positions.

Axes may be permuted or reversed and the origin moved to an equivalent place without leaving the space group's setting.
Each such change renames letters and moves free coordinates. Shifts along polar axes are continuous and left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from dao_core.generate.symmetry.wyckoff_sites import SAME_POINT, operations
from dao_core.generate.symmetry.wyckoff_tables import (
    NEIGHBOURS,
    WyckoffPosition,
    conventional_cell,
    wyckoff_positions,
)

EDGE = 1e-6  # just below a whole number counts as it
ON_POSITION = 2e-3  # fractional distance at which an atom is taken to lie on a position


@dataclass(frozen=True, eq=False)
class LetterImage:
    """Where a position goes: u of the old letter becomes `matrix` @ u + `shift` of `letter`."""

    letter: str
    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NormalizerElement:
    """x -> `rotation` x + `shift` on primitive fractional columns, and the image of every letter."""

    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]
    letters: dict[str, LetterImage]


@lru_cache(maxsize=231)
def normalizer(number: int) -> list[NormalizerElement]:
    """One element of each coset of the space group in its normaliser (monoclinic and triclinic: of a finite part).

    The identity comes first.
    """
    found = []
    rng = np.random.default_rng(0)
    for rotation, shift in _cosets(number):
        images = {}
        for letter, position in wyckoff_positions(number).items():
            image = _image_of(number, position, rotation, shift, rng)
            if image is not None:
                images[letter] = image
        found.append(NormalizerElement(rotation, shift, images))
    return sorted(found, key=lambda e: (np.abs(e.rotation - np.eye(3)).sum(), np.abs(e.shift).sum()))


@lru_cache(maxsize=231)
def polar_axes(number: int) -> tuple[int, ...]:
    """Conventional axes along which the origin is free."""
    rotations, _ = operations(number)
    to_primitive = conventional_cell(number).T
    mean = np.mean([np.linalg.inv(to_primitive) @ r @ to_primitive for r in rotations], axis=0)
    return tuple(a for a in range(3) if np.abs(mean[:, a] - np.eye(3)[a]).max() < 1e-6)


def find_on_position(
    number: int, position: WyckoffPosition, point: NDArray[np.float64], tolerance: float = ON_POSITION
) -> tuple[int, NDArray[np.float64]] | None:
    """The operation that brings a point onto a position as the table writes it.

    Args:
        number: Of the space group.
        position: Of the table.
        point: (3,), fractional.
        tolerance: Fractional.

    Returns:
        (index of the operation, image (3,)); None where no image comes within the tolerance.
    """
    rotations, translations = operations(number)
    images = rotations @ point + translations
    images -= np.floor(images + EDGE)
    away = np.abs((images[:, None] + NEIGHBOURS - position.origin) @ position.normal.T).max(-1)  # (K, 125)
    best = int(away.argmin())
    if away.flat[best] > tolerance:
        return None
    operation, cell = divmod(best, len(NEIGHBOURS))
    return operation, images[operation] + NEIGHBOURS[cell]


@lru_cache(maxsize=2000)
def representatives(number: int, letter: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Maps u -> A u + b between the points of one orbit that lie on the position as the table writes it.

    Args:
        number: Of the space group.
        letter: Of the position.

    Returns:
        A (M, r, r) and b (M, r): the choices of an orbit's representative.
    """
    position = wyckoff_positions(number)[letter]
    rotations, translations = operations(number)
    matrices, shifts, seen = [], [], set()
    for rotation, translation in zip(rotations, translations, strict=True):
        if np.abs(position.normal @ rotation @ position.directions).max(initial=0.0) > EDGE:
            continue
        image = rotation @ position.origin + translation
        image -= np.floor(image + 1e-9)
        away = np.abs((image + NEIGHBOURS - position.origin) @ position.normal.T).max(1)
        if away.min() > SAME_POINT:
            continue
        cell = NEIGHBOURS[int((away < SAME_POINT).argmax())]
        matrix = position.coordinates_of @ rotation @ position.directions
        shift = position.coordinates_of @ (image + cell - position.origin)
        shift -= np.floor(shift + EDGE)
        key = (tuple(np.round(matrix, 3).ravel()), tuple(np.round(shift, 3) % 1))
        if key not in seen:
            seen.add(key)
            matrices.append(matrix)
            shifts.append(shift)
    return np.array(matrices), np.array(shifts)


def _image_of(
    number: int,
    position: WyckoffPosition,
    rotation: NDArray[np.float64],
    shift: NDArray[np.float64],
    rng: np.random.Generator,
) -> LetterImage | None:
    free = rng.random(position.n_free)
    point = rotation @ (position.origin + position.directions @ free) + shift
    for letter, other in wyckoff_positions(number).items():
        if other.n_free != position.n_free or other.multiplicity != position.multiplicity:
            continue
        found = find_on_position(number, other, point, EDGE)
        if found is not None:
            operation, image = found
            matrix = other.coordinates_of @ operations(number)[0][operation] @ rotation @ position.directions
            return LetterImage(letter, matrix, other.coordinates_of @ (image - other.origin) - matrix @ free)
    return None


def _axis_changes(number: int) -> list[NDArray[np.float64]]:
    """Candidate changes of the conventional axes, as matrices on fractional columns."""
    if number <= 2 or 16 <= number <= 142 or number >= 195:
        changes = []
        for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            changes.append(matrix)
        return changes
    if number <= 15:
        return [
            np.array([[a, 0, b], [0, s, 0], [c, 0, d]], dtype=float)
            for a, b, c, d in product((-1, 0, 1), repeat=4) if abs(a * d - b * c) == 1
            for s in (1, -1)
        ]  # fmt: skip
    sixfold, mirror = np.array([[1, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    generators = (sixfold, mirror, -np.eye(3, dtype=int), np.diag([1, 1, -1]))
    known = {tuple(np.eye(3, dtype=int).ravel())}
    todo = list(known)
    while todo:
        matrix = np.array(todo.pop()).reshape(3, 3)
        for generator in generators:
            key = tuple((generator @ matrix).ravel())
            if key not in known:
                known.add(key)
                todo.append(key)
    return [np.array(key, dtype=float).reshape(3, 3) for key in sorted(known)]


def _origin_shifts(number: int) -> NDArray[np.float64]:
    """Candidate shifts of the origin in primitive fractional coordinates, (M, 3): eighths, or thirds and twelfths."""
    eighths, thirds = [k / 8 for k in range(8)], [0.0, 1 / 3, 2 / 3]
    grid = [thirds, thirds, [k / 12 for k in range(12)]] if 143 <= number <= 194 else [eighths] * 3
    axes = [[0.0] if a in polar_axes(number) else grid[a] for a in range(3)]
    return np.array(list(product(*axes))) @ conventional_cell(number)


def _cosets(number: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Axis changes with origin shifts that conjugate the group into itself, one of each coset of the group."""
    rotations, translations = operations(number)
    to_primitive = conventional_cell(number).T
    from_primitive = np.linalg.inv(to_primitive)
    shifts = _origin_shifts(number)
    index = {tuple(r.ravel()): k for k, r in enumerate(rotations)}
    found: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for change in sorted(_axis_changes(number), key=lambda m: float(np.abs(m - np.eye(3)).sum())):
        exact = to_primitive @ change @ from_primitive
        rotation = np.rint(exact)
        if np.abs(exact - rotation).max() > EDGE:
            continue
        back = np.rint(np.linalg.inv(rotation))
        onto = [index.get(tuple(np.rint(rotation @ r @ back).astype(int).ravel())) for r in rotations]
        if None in onto:
            continue
        images = np.array([k for k in onto if k is not None])
        for shift in shifts[_conjugating(rotation, shifts, images, number)]:
            key = _coset_key(rotations, translations, rotation, shift, number)
            found.setdefault(key, (rotation, shift))
    return list(found.values())


def _conjugating(
    rotation: NDArray[np.float64], shifts: NDArray[np.float64], images: NDArray[np.int64], number: int
) -> NDArray[np.int64]:
    """Positions of the shifts that, with the axis change, bring every operation onto one of the group."""
    rotations, translations = operations(number)
    left = np.arange(len(shifts))
    for k, image in enumerate(images):
        away = shifts[left] @ (np.eye(3) - rotations[image]).T + rotation @ translations[k] - translations[image]
        left = left[np.abs(away - np.round(away)).max(1) < SAME_POINT]
    return left


def _coset_key(
    rotations: NDArray[np.int64],
    translations: NDArray[np.float64],
    rotation: NDArray[np.float64],
    shift: NDArray[np.float64],
    number: int,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The same for all elements of one coset: the smallest product with the group's operations."""
    products = [tuple(m.ravel()) for m in np.rint(rotations @ rotation).astype(int)]
    first = min(range(len(products)), key=products.__getitem__)
    moved = rotations[first] @ shift + translations[first]
    to_primitive = conventional_cell(number).T
    conventional = np.linalg.inv(to_primitive) @ moved
    conventional[list(polar_axes(number))] = 0.0
    moved = to_primitive @ conventional
    return products[first], tuple((np.round((moved - np.floor(moved + EDGE)) * 24).astype(int) % 24).tolist())
