"""The symmetry of a crystal's magnetic atoms, and trial orderings where they are too many to try every pattern.

A collinear ordering is written as signs of the sublattices times the wave of one propagation vector (Bertaut, Acta
Cryst. A 24, 217 (1968)). Sublattices are the sites that translations of the magnetic atoms alone bring onto one
another. These translations, found within `PSEUDO_SYMPREC`, outlive the tilts that leave the whole crystal without
symmetry: the manganese of a distorted perovskite is still nearly simple cubic. Waves of the second order turn every
second layer around (types G, A and C of perovskites, I and II of the face-centred lattice); those of the fourth order
go up, up, down, down.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal

EXACT_SYMPREC = 1e-3  # angstrom
PSEUDO_SYMPREC = 0.5  # angstrom: tilts and off-centre shifts of ions are smaller, neighbours are 2.5 apart
MAX_SUBLATTICES = 8  # 128 choices of their signs
MAX_GROUPS = 4  # of orbits, where there are more sublattices: 8 choices of their signs for each layering
LARGEST_INDEX = 4  # Miller index of these layers, in the cell's own reciprocal lattice
ON_A_NODE = 0.1  # of a wave's amplitude: a site that close to a node has no sign
LONGEST_PERIOD = 32  # cells along an axis; bounds the propagation vectors that are looked through

Signs = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class MagneticLattice:
    """The magnetic atoms of a cell without the others, and what symmetry does to them.

    Attributes:
        crystal: The atoms.
        exact: (K, N) where each operation of the whole crystal takes each atom.
        pseudo: (L, N) likewise for operations that nearly map the magnetic atoms onto themselves.
        translations: (T, 3) those of them that are pure translations, in fractions of the cell.
        translated: (T, N) where these take each atom.
    """

    crystal: Crystal
    exact: NDArray[np.intp]
    pseudo: NDArray[np.intp]
    translations: NDArray[np.float64]
    translated: NDArray[np.intp]

    @classmethod
    def of(cls, cell: Crystal, sites: NDArray[np.intp]) -> MagneticLattice:
        """The magnetic lattice of a cell.

        Args:
            cell: The whole crystal.
            sites: Which of its atoms are magnetic.
        """
        crystal = Crystal(cell.lattice, cell.frac_coords[sites], cell.atomic_numbers[sites])
        exact, _, _ = _permutations(crystal, _operations(cell, EXACT_SYMPREC))
        pseudo, rotations, shifts = _permutations(crystal, _operations(crystal, PSEUDO_SYMPREC))
        pure = (rotations == np.eye(3)).all(axis=(1, 2))
        return cls(crystal, exact, pseudo, shifts[pure], pseudo[pure])

    @property
    def sublattices(self) -> NDArray[np.intp]:
        """Number of the sublattice of each atom, (N,)."""
        return _numbered(self.translated.min(axis=0))

    @property
    def groups(self) -> NDArray[np.intp]:
        """Number of each atom's orbit under the pseudo-symmetry, (N,); of its element where orbits are many."""
        orbits = _numbered(self.pseudo.min(axis=0))
        return orbits if orbits.max() < max(MAX_GROUPS, len(orbits) // 4) else _numbered(self.crystal.atomic_numbers)

    def is_uniform(self, signs: Signs) -> bool:
        """Whether the spins of each group are parallel."""
        groups = self.groups
        return len(set(zip(groups.tolist(), signs.tolist(), strict=True))) == groups.max() + 1

    def canonical(self, signs: Signs) -> bytes:
        """A key that is equal for patterns which an operation, or turning all spins around, maps onto one another."""
        images = signs[self.pseudo]
        images = images * images[:, :1]  # the first up
        return images[np.lexsort(images.T[::-1])[0]].tobytes()

    def n_operations(self, signs: Signs) -> int:
        """How many operations of the crystal leave a pattern as it is."""
        return int((signs[self.exact] == signs).all(axis=1).sum())

    def n_pseudo_operations(self, signs: Signs) -> int:
        """How many operations of the magnetic atoms alone leave a pattern as it is or turn all of it around."""
        same = (signs[self.pseudo] == signs).sum(axis=1)
        return int(((same == 0) | (same == len(signs))).sum())


Operations = tuple[NDArray[np.int_], NDArray[np.float64]]


def _operations(crystal: Crystal, symprec: float) -> Operations:
    """Rotations (K, 3, 3) and translations (K, 3), in fractions of the cell; the identity where spglib finds none."""
    import spglib

    found = spglib.get_symmetry((crystal.lattice, crystal.frac_coords, crystal.atomic_numbers), symprec)
    if found is None:
        return np.eye(3, dtype=int)[None], np.zeros((1, 3))
    return found["rotations"], found["translations"]


def _permutations(
    crystal: Crystal, operations: Operations
) -> tuple[NDArray[np.intp], NDArray[np.int_], NDArray[np.float64]]:
    """Where operations take the atoms, (K, N), with the rotations and translations of those that take no two to one."""
    rotations, shifts = operations
    images = np.array([_images(crystal, r, t) for r, t in zip(rotations, shifts, strict=True)])
    whole = (np.sort(images, axis=1) == np.arange(crystal.n_atoms)).all(axis=1)
    return images[whole], rotations[whole], shifts[whole]


def _images(crystal: Crystal, rotation: NDArray[np.int_], shift: NDArray[np.float64]) -> NDArray[np.intp]:
    """The atom of the same element nearest to where an operation takes each one, (N,)."""
    moved = crystal.frac_coords @ rotation.T + shift
    apart = moved[:, None] - crystal.frac_coords[None]
    distances = np.linalg.norm((apart - np.round(apart)) @ crystal.lattice, axis=-1)
    distances[crystal.atomic_numbers[:, None] != crystal.atomic_numbers[None]] = np.inf
    return distances.argmin(axis=1)


def _numbered(labels: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.unique(labels, return_inverse=True)[1].reshape(-1)


def propagated_patterns(lattice: MagneticLattice) -> Signs:
    """Patterns of up and down to try, the first atom up, none twice.

    Args:
        lattice: Of the cell.

    Returns:
        (P, N) of 1 and -1, the parallel one first.
    """
    sublattices = lattice.sublattices
    if sublattices.max() < MAX_SUBLATTICES:
        patterns = _times(_of_groups(sublattices), _waves(lattice))
    else:
        groups = lattice.groups
        few = groups if groups.max() < MAX_GROUPS else np.zeros_like(groups)
        patterns = _times(_of_groups(few), _layers(lattice.crystal))
        if groups.max() < MAX_SUBLATTICES:
            patterns = np.concatenate([_of_groups(groups), patterns])
    patterns = patterns * patterns[:, :1]
    _, first = np.unique(patterns, axis=0, return_index=True)
    return patterns[np.sort(first)]


def _of_groups(groups: NDArray[np.intp]) -> Signs:
    """Every choice of a sign for each group but the first, (2 ** (groups - 1), N)."""
    choices = [(1, *rest) for rest in product((1, -1), repeat=int(groups.max()))]
    return np.array(choices, dtype=np.int8)[:, groups]


def _times(first: Signs, second: Signs) -> Signs:
    return (first[:, None] * second[None]).reshape(-1, first.shape[1])


def _waves(lattice: MagneticLattice) -> Signs:
    """Waves of the second and fourth order over the cells of each sublattice, (W, N), the constant one first."""
    size = len(lattice.translations)
    steps = np.round(lattice.translations * size).astype(int) % size  # the size-th multiple of each is a lattice vector
    periods = [min(len(set(column)), LONGEST_PERIOD) for column in steps.T.tolist()]
    vectors = np.stack(np.meshgrid(*map(np.arange, periods), indexing="ij"), axis=-1).reshape(-1, 3)
    phases = np.unique(vectors @ steps.T % size, axis=0)  # (q, T) in units of 1/size turns
    phases = phases[(4 * phases % size == 0).all(axis=1)]
    cell_of = lattice.translated.argmin(axis=0)  # the translation from each atom to the first of its sublattice
    quarters = (4 * phases // size) % 4  # 0 and 1 of four are up, which for the second order is 0 of 0 and 2
    return np.where(quarters < 2, 1, -1).astype(np.int8)[:, cell_of]


def _layers(crystal: Crystal) -> Signs:
    """Signs of plane waves of the cell's own reciprocal lattice, from one atom on, (W, N), the constant one first."""
    indices = range(-LARGEST_INDEX, LARGEST_INDEX + 1)
    vectors = [(0, 0, 0), *(v for v in product(indices, repeat=3) if v > (0, 0, 0))]  # v and -v are one wave
    turns = (crystal.frac_coords - crystal.frac_coords[0]) @ np.array(vectors).T  # (N, W)
    waves = np.concatenate([np.cos(2 * np.pi * (turns + phase)) for phase in (0.0, -1 / 8)], axis=1).T
    return np.where(waves > 0, 1, -1).astype(np.int8)[(np.abs(waves) > ON_A_NODE).all(axis=1)]
