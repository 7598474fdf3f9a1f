"""A structure as its label and the degrees of freedom that symmetry leaves, in one unique way, and back.

Letters are canonical over the normaliser, raw coordinates are not: among the equivalent descriptions with the canonical
label the one with the smallest (rounded) cell and coordinates is taken. Polar origins sit on an orbit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.generate.symmetry.labels import Label, StandardCell, SymmetryLabelError
from dao_core.generate.symmetry.normalizer import (
    EDGE,
    NormalizerElement,
    find_on_position,
    normalizer,
    polar_axes,
    representatives,
)
from dao_core.generate.symmetry.wyckoff_sites import operations, orbit
from dao_core.generate.symmetry.wyckoff_tables import (
    LETTERS,
    conventional_cell,
    multiplicities,
    wyckoff_positions,
)

STEP = 50  # coordinates are compared in fiftieths first, so that noise doesn't decide
SAME_ATOM = 3e-3  # fractional; moyopy's standard cells are exact
MOST_CANDIDATES = 96
MIN_EIGENVALUE = 1e-3  # of the metric of a cell with a = 1: below it the angles fit no cell

B_OVER_A, C_OVER_A, COS_ALPHA, COS_BETA, COS_GAMMA, VOLUME, COORDINATE = range(7)  # COORDINATE + axis: up to 8
N_KINDS = 9
HEXAGONAL = range(143, 195)


class CollapsedSitesError(ValueError):
    """Degrees of freedom that put atoms on top of each other or make no cell."""


@dataclass(frozen=True, eq=False)
class Description:
    """`lattice` (3, 3): conventional rows in angstrom; `free`: u (r,) of each of the label's orbits, from 0 to 1."""

    label: Label
    lattice: NDArray[np.float64]
    free: list[NDArray[np.float64]]


@dataclass(frozen=True)
class Freedom:
    """One degree of freedom: its kind, and the orbit whose coordinate it is (-1: the cell's)."""

    kind: int
    orbit: int


def degrees_of_freedom(label: Label) -> list[Freedom]:
    """What symmetry leaves open, in the order in which it is decided: cell shape, coordinates, volume."""
    number = label.spacegroup_number
    out = [Freedom(kind, -1) for kind in _shape(number)]
    for i, (_, letter) in enumerate(label.orbits):
        out += [Freedom(COORDINATE + axis, i) for axis in range(wyckoff_positions(number)[letter].n_free)]
    return [*out, Freedom(VOLUME, -1)]


def n_free_coordinates(label: Label) -> int:
    """Free coordinates of all orbits together."""
    return sum(f.kind >= COORDINATE for f in degrees_of_freedom(label))


def values_of(description: Description, volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The degrees of freedom as numbers: logarithms of ratios, cosines, coordinates, log volume over expected.

    Args:
        description: Of a structure.
        volumes: Expected volume of each element, (101,), angstrom^3.

    Returns:
        (number of degrees of freedom,).
    """
    lengths = np.linalg.norm(description.lattice, axis=1)
    cosines = (description.lattice @ description.lattice.T) / np.outer(lengths, lengths)
    volume = abs(np.linalg.det(description.lattice)) / _expected_volume(description.label, volumes)
    cell = {
        B_OVER_A: np.log(lengths[1] / lengths[0]), C_OVER_A: np.log(lengths[2] / lengths[0]),
        COS_ALPHA: cosines[1, 2], COS_BETA: cosines[0, 2], COS_GAMMA: cosines[0, 1], VOLUME: np.log(volume),
    }  # fmt: skip
    coordinates = iter(np.concatenate([*description.free, np.zeros(0)]).tolist())
    return np.array([cell[f.kind] if f.orbit < 0 else next(coordinates) for f in degrees_of_freedom(description.label)])


def from_values(label: Label, values: Sequence[float], volumes: NDArray[np.float64]) -> Description:
    """The inverse of `values_of`.

    Args:
        label: Whose degrees of freedom they are.
        values: As `values_of` gives them.
        volumes: Expected volume of each element, (101,), angstrom^3.

    Returns:
        The description.

    Raises:
        CollapsedSitesError: The angles fit no cell.
    """
    number = label.spacegroup_number
    cell = {B_OVER_A: 0.0, C_OVER_A: 0.0, COS_ALPHA: 0.0, COS_BETA: 0.0, COS_GAMMA: 0.0, VOLUME: 0.0}
    if number in HEXAGONAL:
        cell[COS_GAMMA] = -0.5
    free: list[list[float]] = [[] for _ in label.orbits]
    for freedom, value in zip(degrees_of_freedom(label), values, strict=True):
        if freedom.orbit < 0:
            cell[freedom.kind] = float(value)
        else:
            free[freedom.orbit].append(float(value))
    lengths = np.exp([0.0, cell[B_OVER_A], cell[C_OVER_A]])
    cosines = np.eye(3)
    for (i, j), kind in (((1, 2), COS_ALPHA), ((0, 2), COS_BETA), ((0, 1), COS_GAMMA)):
        cosines[i, j] = cosines[j, i] = cell[kind]
    metric = cosines * np.outer(lengths, lengths)
    if np.linalg.eigvalsh(metric).min() < MIN_EIGENVALUE:
        raise CollapsedSitesError(f"{label}: the cell's angles have cosines {cosines[np.triu_indices(3, 1)].round(2)}")
    lattice = np.linalg.cholesky(metric)
    wanted = np.exp(cell[VOLUME]) * _expected_volume(label, volumes)
    lattice *= (wanted / np.linalg.det(lattice)) ** (1 / 3)
    return Description(label, lattice, [np.array(u) for u in free])


def to_crystal(description: Description) -> Crystal:
    """The structure in its primitive cell. Raises CollapsedSitesError where an orbit falls on a more special site."""
    label = description.label
    number = label.spacegroup_number
    frac, numbers = [], []
    for (z, letter), free in zip(label.orbits, description.free, strict=True):
        position = wyckoff_positions(number)[letter]
        atoms = orbit(number, position.origin + position.directions @ free)
        if len(atoms) != position.multiplicity:
            raise CollapsedSitesError(f"{label}: {len(atoms)} atoms where {letter} has {position.multiplicity}")
        frac.append(atoms)
        numbers += [z] * len(atoms)
    lattice = np.linalg.inv(conventional_cell(number)) @ description.lattice
    return Crystal(lattice, np.concatenate(frac), np.array(numbers))


def describe(cell: StandardCell, label: Label) -> Description:
    """The unique description of a structure under a canonical label, for the label's order of elements.

    Args:
        cell: The structure in its standard cell.
        label: Its label.

    Returns:
        The description.

    Raises:
        SymmetryLabelError: The atoms don't form whole orbits on the label's positions.
    """
    orbits = _orbits(cell)
    best: tuple[list[float], Description] | None = None
    for lattice, moved in _candidates(cell.lattice, label, orbits):
        for anchored in _anchored(label, moved):
            free = _sorted_free(label, anchored)
            key = _sort_key(label.spacegroup_number, lattice, free)
            if best is None or key < best[0]:
                best = key, Description(label, lattice, free)
    if best is None:
        raise SymmetryLabelError(f"{label}: no equivalent origin gives these letters")
    return best[1]


Orbit = tuple[int, str, NDArray[np.float64]]  # atomic number, letter, u


def equivalent_descriptions(description: Description, most: int = 12) -> list[Description]:
    """The same structure under the same label with other origins and axes: what a network may also learn from.

    Args:
        description: Of a structure, canonical or not.
        most: Largest number returned.

    Returns:
        Different descriptions, with orbits' representatives and order chosen as `describe` does; the canonical one is
        among them unless there are more than `most`.
    """
    label = description.label
    number = label.spacegroup_number
    primitive = np.linalg.inv(conventional_cell(number)) @ description.lattice
    orbits = [(z, letter, u) for (z, letter), u in zip(label.orbits, description.free, strict=True)]
    found: dict[tuple[float, ...], Description] = {}
    for lattice, moved in _candidates(primitive, label, orbits):
        for anchored in _anchored(label, moved):
            free = _sorted_free(label, anchored)
            key = (*lattice.round(3).ravel().tolist(), *np.concatenate([*free, np.zeros(0)]).round(4).tolist())
            found.setdefault(key, Description(label, lattice, free))
            if len(found) >= most:
                return list(found.values())
    return list(found.values())


def _shape(number: int) -> list[int]:
    if number <= 2:
        return [B_OVER_A, C_OVER_A, COS_ALPHA, COS_BETA, COS_GAMMA]
    if number <= 15:
        return [B_OVER_A, C_OVER_A, COS_BETA]
    if number <= 74:
        return [B_OVER_A, C_OVER_A]
    return [C_OVER_A] if number <= 194 else []


def _expected_volume(label: Label, volumes: NDArray[np.float64]) -> float:
    """Volume of the conventional cell if every element took its usual room, in angstrom^3."""
    centring = abs(np.linalg.det(conventional_cell(label.spacegroup_number)))
    return float(centring * sum(n * volumes[z] for z, n in zip(label.elements, label.counts, strict=True)))


def _orbits(cell: StandardCell) -> list[Orbit]:
    number = cell.spacegroup_number
    rotations, translations = operations(number)
    left = np.ones(len(cell.letters), dtype=bool)
    out = []
    for i, letter in enumerate(cell.letters):
        if not left[i]:
            continue
        images = rotations @ cell.frac_coords[i] + translations
        away = images[:, None] - cell.frac_coords
        away -= np.round(away)
        same = left & (cell.atomic_numbers == cell.atomic_numbers[i])
        members = (np.abs(away).max(-1) < SAME_ATOM).any(0) & same
        found = find_on_position(number, wyckoff_positions(number)[letter], cell.frac_coords[i])
        if members.sum() != multiplicities()[number, LETTERS.index(letter)] or found is None:
            raise SymmetryLabelError(f"space group {number}: atoms on {letter} form no whole orbit")
        left &= ~members
        position = wyckoff_positions(number)[letter]
        out.append((int(cell.atomic_numbers[i]), letter, position.coordinates_of @ (found[1] - position.origin)))
    return out


def _candidates(
    primitive: NDArray[np.float64], label: Label, orbits: list[Orbit]
) -> Iterator[tuple[NDArray[np.float64], list[Orbit]]]:
    """Conventional lattices and orbits of the equivalent descriptions with the label's letters and the best axes."""
    number = label.spacegroup_number
    found = []
    for element in normalizer(number):
        lattice = conventional_cell(number) @ np.linalg.inv(element.rotation).T @ primitive
        if _letters(element, label, orbits) == list(label.letters):
            found.append((_axes_key(number, lattice), element, lattice))
    first = min((key for key, _, _ in found), default=())
    for _, element, lattice in [f for f in found if f[0] == first][:MOST_CANDIDATES]:
        moved = []
        for z, letter, free in orbits:
            image = element.letters[letter]
            moved.append((z, image.letter, image.matrix @ free + image.shift))
        yield lattice, moved


def _letters(element: NormalizerElement, label: Label, orbits: list[Orbit]) -> list[str]:
    groups: dict[int, list[str]] = {z: [] for z in label.elements}
    for z, letter, _ in orbits:
        groups[z].append(element.letters[letter].letter if letter in element.letters else "?")
    return ["".join(sorted(g, key=lambda x: LETTERS.find(x))) for g in groups.values()]


def _axes_key(number: int, lattice: NDArray[np.float64]) -> tuple[float, ...]:
    """What decides between choices of axes where symmetry leaves them open: least skewed, then shortest first."""
    lengths = np.linalg.norm(lattice, axis=1)
    cosines = (lattice @ lattice.T) / np.outer(lengths, lengths)
    if number <= 2:
        skew = abs(cosines[1, 2]) + abs(cosines[0, 2]) + abs(cosines[0, 1])
        return (round(float(skew), 1), round(float(100 * lengths[0] + 10 * lengths[1])))
    if number <= 15:
        return (round(8 * abs(float(cosines[0, 2]))), float(cosines[0, 2] > 0.02))
    return ()


def _anchored(label: Label, orbits: list[Orbit]) -> Iterator[list[Orbit]]:
    """The orbits with the origin on each of the rarest kind of orbit along polar axes; unchanged without any."""
    number = label.spacegroup_number
    polar = list(polar_axes(number))
    if not polar:
        yield orbits
        return
    to_primitive = conventional_cell(number).T
    from_primitive = np.linalg.inv(to_primitive)
    kinds = [(label.elements.index(z), LETTERS.index(letter)) for z, letter, _ in orbits]
    anchor = min(sorted(set(kinds)), key=kinds.count)
    positions = wyckoff_positions(number)
    for kind, (_, letter, free) in zip(kinds, orbits, strict=True):
        if kind != anchor:
            continue
        # a screw or glide along the polar axis makes each image of the anchor another choice
        matrices, shifts = representatives(number, letter)
        points = positions[letter].origin + (matrices @ free + shifts) @ positions[letter].directions.T
        for place in {tuple(p[polar].round(6).tolist()): p[polar] for p in points @ from_primitive.T}.values():
            shift = np.zeros(3)
            shift[polar] = -place
            yield [(z, x, u + positions[x].coordinates_of @ to_primitive @ shift) for z, x, u in orbits]


def _sorted_free(label: Label, orbits: list[Orbit]) -> list[NDArray[np.float64]]:
    """Coordinates in the label's order of orbits, each orbit's smallest representative, equal letters sorted."""
    kinds: dict[tuple[int, str], list[NDArray[np.float64]]] = {}
    for z, letter, free in orbits:
        kinds.setdefault((z, letter), []).append(_smallest(label.spacegroup_number, letter, free))
    for group in kinds.values():
        group.sort(key=lambda u: (_snapped(u).tolist(), u.tolist()), reverse=True)
    return [kinds[kind].pop() for kind in label.orbits]


def _smallest(number: int, letter: str, free: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(free):
        return free
    matrices, shifts = representatives(number, letter)
    choices = matrices @ free + shifts
    choices -= np.floor(choices + EDGE)
    return np.asarray(min(choices, key=lambda u: (_snapped(u).tolist(), u.tolist())))


def _snapped(free: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.round(free * STEP) % STEP)


def _sort_key(number: int, lattice: NDArray[np.float64], free: list[NDArray[np.float64]]) -> list[float]:
    lengths = np.linalg.norm(lattice, axis=1)
    ratios = np.log(lengths[1:] / lengths[0]) if 16 <= number <= 74 else np.zeros(0)
    flat = np.concatenate([*free, np.zeros(0)])
    return [*np.round(8 * ratios).tolist(), *_snapped(flat).tolist(), *np.concatenate([flat, ratios]).round(6).tolist()]
