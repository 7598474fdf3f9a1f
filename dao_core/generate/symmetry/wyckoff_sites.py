"""Atoms on the sites of a space group: a random choice or a structure's own, and the projections that keep them there.

Operations are x -> W x + w on fractional columns. Random choices are made in the primitive cell of moyopy's standard
setting.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.elements import SYMBOLS
from dao_core.matching.symmetry_dataset import atom_permutations, symmetry_dataset

N_SITES = 600  # random points of which orbits are chosen
MAX_PROJECTIONS = 3
TRIES = 300
MIN_SEPARATION = 0.06  # between orbits, fractional: only coincidences are refused, distances are the network's business
SAME = 1e-6
SAME_POINT = 1e-4  # fractional


class SitesError(ValueError):
    """No choice of sites of the space group has the wanted numbers of atoms."""


@dataclass(frozen=True, eq=False)
class SitePlan:
    """Which atom is which image of which representative.

    `rotations` (K, 3, 3), `translations` (K, 3); atom j is operation `operation[j]` applied to representative
    `owner[j]`; `image` (K, R) is the atom that operation k makes of representative r; `start` (N, 3).
    """

    rotations: NDArray[np.int64]
    translations: NDArray[np.float64]
    owner: NDArray[np.int64]
    operation: NDArray[np.int64]
    image: NDArray[np.int64]
    start: NDArray[np.float64]

    @property
    def n_atoms(self) -> int:
        """Atoms in the primitive cell."""
        return len(self.owner)

    def symmetric_velocity(self, velocity: NDArray[np.float64]) -> NDArray[np.float64]:
        """The part of a velocity (N, 3) that keeps the space group."""
        inverse = np.rint(np.linalg.inv(self.rotations))
        pulled = np.einsum("kab,krb->ra", inverse, velocity[self.image]) / len(inverse)  # (R, 3)
        return np.asarray(np.einsum("nab,nb->na", self.rotations[self.operation], pulled[self.owner]))

    def exact(self, frac: NDArray[np.float64]) -> NDArray[np.float64]:
        """The nearest positions (N, 3) that have the symmetry to the last digit."""
        inverse = np.rint(np.linalg.inv(self.rotations))
        first = frac[self.image[0]]  # operation 0 is the identity: the representatives themselves, (R, 3)
        back = np.einsum("kab,krb->kra", inverse, frac[self.image] - self.translations[:, None])
        away = back - first
        away -= np.round(away)
        representative = first + away.mean(0)
        out = np.einsum("nab,nb->na", self.rotations[self.operation], representative[self.owner])
        out += self.translations[self.operation]
        return np.asarray(out - np.floor(out))


def kept_sites(crystal: Crystal, symprec: float) -> SitePlan | None:
    """The sites that the atoms of a structure occupy, in its own cell.

    Args:
        crystal: Any.
        symprec: Tolerance in angstrom.

    Returns:
        The sites; None where only translations of the lattice are found, or the search fails.
    """
    dataset = symmetry_dataset(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers, [symprec])
    if dataset is None:
        return None
    found = dataset.operations
    rotations, translations = _identity_first(np.array(found.rotations), np.array(found.translations))
    onto = atom_permutations(crystal, rotations, translations)
    if len(rotations) == 1 or onto is None:
        return None
    first, owner = np.unique(onto.min(0), return_inverse=True)  # an orbit's first atom represents it
    reached = onto[:, first[owner]] == np.arange(crystal.n_atoms)
    if not reached.any(0).all():
        return None
    operation = reached.argmax(0)
    return SitePlan(rotations, translations, owner, operation, onto[:, first], crystal.frac_coords)


def averaged_lattice(lattice: NDArray[np.float64], rotations: NDArray[np.int64]) -> NDArray[np.float64]:
    """The symmetric cell whose metric is the given one's average over the point group.

    Args:
        lattice: (3, 3), rows in angstrom.
        rotations: (K, 3, 3).

    Returns:
        (3, 3).
    """
    metric = lattice @ lattice.T
    mean = np.einsum("kba,bc,kcd->ad", rotations, metric, rotations) / len(rotations)
    values, vectors = np.linalg.eigh(mean)
    return np.asarray((vectors * np.sqrt(values)) @ vectors.T)


@lru_cache(maxsize=231)
def operations(number: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rotations (K, 3, 3) and translations (K, 3) of a space group's primitive cell, the identity first."""
    from moyopy import operations_from_number

    found = operations_from_number(number, primitive=True)
    return _identity_first(np.array(found.rotations), np.array(found.translations))


def _identity_first(
    rotations: NDArray[np.int64], translations: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    shifts = np.abs(translations - np.round(translations)).sum(-1)
    first = int((np.abs(rotations - np.eye(3)).sum((1, 2)) + shifts).argmin())
    order = [first, *(k for k in range(len(rotations)) if k != first)]
    return rotations[order], translations[order]


@lru_cache(maxsize=8)
def site_projections(number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Projections x -> M x + c, (P, 3, 3) and (P, 3), onto the fixed points of each operation that has some.

    With every lattice translation to a neighbouring cell; screws and glides have no fixed points.
    """
    rotations, translations = operations(number)
    shifts = np.array(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij")).reshape(3, -1).T
    matrices, vectors = [], []
    for rotation, translation in zip(rotations[1:], translations[1:], strict=True):
        powers = [np.eye(3)]
        while not np.array_equal(last := powers[-1] @ rotation, np.eye(3)):
            powers.append(last)
        mean = sum(powers) / len(powers)
        for shift in translation + shifts:
            if np.abs(mean @ shift).max() > SAME:
                continue  # the operation repeated is a translation
            moved, total = np.zeros(3), np.zeros(3)
            for _ in powers:  # h^k(x) = W^k x + moved_k
                total += moved
                moved = rotation @ moved + shift
            matrices.append(mean)
            vectors.append(total / len(powers))
    return np.array(matrices).reshape(-1, 3, 3), np.array(vectors).reshape(-1, 3)


def random_sites(
    number: int, rng: np.random.Generator, n: int = N_SITES
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Random points on sites of all kinds.

    Args:
        number: Of the space group.
        rng: Source of chance.
        n: Points.

    Returns:
        Points (n, 3), fractional, and the sizes of their orbits (n,).
    """
    rotations, translations = operations(number)
    matrices, vectors = site_projections(number)
    points = rng.random((n, 3))
    wanted = rng.integers(0, MAX_PROJECTIONS + 1, n) if len(matrices) else np.zeros(n, dtype=int)
    for k in range(MAX_PROJECTIONS):
        rows = np.flatnonzero(wanted > k)
        chosen = rng.integers(0, max(len(matrices), 1), len(rows))
        points[rows] = np.einsum("pab,pb->pa", matrices[chosen], points[rows]) + vectors[chosen] if len(rows) else 0.0
    images = np.einsum("kab,pb->pka", rotations, points) + translations
    away = images - points[:, None]
    away -= np.round(away)
    stabiliser = (np.abs(away) < SAME).all(-1).sum(1)
    return points - np.floor(points), len(rotations) // stabiliser


def plan_sites(number: int, atomic_numbers: NDArray[np.int64], rng: np.random.Generator) -> SitePlan:
    """A random choice of orbits for the atoms of a cell, every feasible orbit size equally likely.

    Args:
        number: Of the space group.
        atomic_numbers: (N,), grouped by element.
        rng: Source of chance.

    Returns:
        The sites.

    Raises:
        SitesError: No choice was found.
    """
    points, sizes = random_sites(number, rng)
    kinds = sorted(set(sizes.tolist()))
    elements, counts = np.unique(atomic_numbers, return_counts=True)
    for _ in range(TRIES):
        chosen = _choose(number, counts, points, sizes, rng)
        if chosen is not None:
            by_element = dict(zip(elements.tolist(), chosen, strict=True))
            order = list(dict.fromkeys(atomic_numbers.tolist()))  # in the order of the atoms
            return _plan(number, [point for z in order for point in by_element[z]])
    content = " ".join(f"{SYMBOLS[z]}{n}" for z, n in zip(elements.tolist(), counts.tolist(), strict=True))
    raise SitesError(
        f"no sites of space group {number} hold {content} in its primitive cell: "
        f"orbits there have {', '.join(map(str, kinds))} atoms; try another number of formula units"
    )


def _choose(
    number: int,
    counts: NDArray[np.int64],
    points: NDArray[np.float64],
    sizes: NDArray[np.int64],
    rng: np.random.Generator,
) -> list[list[NDArray[np.float64]]] | None:
    """Some points (P, 3) whose orbits of `sizes` (P,) atoms add up to each count, apart from each other, or None."""
    kinds = sorted(set(sizes.tolist()))
    taken = np.zeros((0, 3))
    out: list[list[NDArray[np.float64]]] = []
    for count in counts.tolist():
        mine: list[NDArray[np.float64]] = []
        while count:
            fitting = [k for k in kinds if k <= count]
            if not fitting:
                return None
            size = int(rng.choice(fitting))
            point = points[rng.choice(np.flatnonzero(sizes == size))]
            images = orbit(number, point)
            if len(taken) and _closest(images, taken) < MIN_SEPARATION:
                return None
            taken = np.vstack([taken, images])
            mine.append(point)
            count -= size
        out.append(mine)
    return out


def _closest(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    away = a[:, None] - b[None]
    away -= np.round(away)
    return float(np.linalg.norm(away, axis=-1).min())


def orbit(number: int, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """All distinct images of a point under a space group.

    Args:
        number: Of the space group.
        point: (3,), fractional in its primitive cell.

    Returns:
        (m, 3), from 0 to 1.
    """
    rotations, translations = operations(number)
    images = rotations @ point + translations
    images = images[first_of_each(images)]
    return np.asarray(images - np.floor(images))


def first_of_each(images: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which of some points, (K, 3) fractional, are no lattice translation of an earlier one: their indices."""
    return np.flatnonzero(_same_point(images, images).argmax(1) == np.arange(len(images)))


def _same_point(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points (K, 3) and (M, 3) differ by a lattice translation, (K, M)."""
    away = a[:, None] - b
    return np.asarray((np.abs(away - np.round(away)) < SAME_POINT).all(-1))


def _plan(number: int, representatives: list[NDArray[np.float64]]) -> SitePlan:
    rotations, translations = operations(number)
    owner: list[int] = []
    operation: list[int] = []
    image = np.zeros((len(rotations), len(representatives)), dtype=np.int64)
    start: list[NDArray[np.float64]] = []
    for r, point in enumerate(representatives):
        images = rotations @ point + translations
        firsts = first_of_each(images)
        image[:, r] = len(owner) + _same_point(images, images[firsts]).argmax(1)
        owner += [r] * len(firsts)
        operation += firsts.tolist()
        start += [x - np.floor(x) for x in images[firsts]]
    return SitePlan(rotations, translations, np.array(owner), np.array(operation), image, np.array(start))
