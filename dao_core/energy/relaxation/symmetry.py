"""Keeps a crystal's space group during relaxation by averaging forces and stress over its operations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.energy.potential import PotentialResult
from dao_core.matching.symmetry_dataset import atom_permutations, symmetry_dataset


@dataclass(frozen=True, eq=False)
class SymmetryOperations:
    """Operations of a space group acting on one crystal's atoms.

    `rotations` (G, 3, 3) are integer, in fractional coordinates (column convention f' = W f + w); `permutations`
    (G, N) say where each atom lands: operation g carries atom i to atom `permutations[g, i]`.
    """

    rotations: NDArray[np.int64]
    permutations: NDArray[np.int64]
    spacegroup_number: int


def find_operations(crystal: Crystal, *, symprec: float = 0.01) -> SymmetryOperations:
    """Space-group operations by moyopy; the identity alone where it finds none.

    Args:
        crystal: The crystal.
        symprec: Tolerance, angstrom.

    Returns:
        The operations.
    """
    identity = SymmetryOperations(np.eye(3, dtype=np.int64)[None], np.arange(crystal.n_atoms)[None], 1)
    dataset = symmetry_dataset(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers, [symprec])
    if dataset is None:
        return identity
    rotations = np.array(dataset.operations.rotations, dtype=np.int64)
    permutations = atom_permutations(crystal, rotations, np.array(dataset.operations.translations))
    return identity if permutations is None else SymmetryOperations(rotations, permutations, int(dataset.number))


def symmetrized(
    result: PotentialResult, operations: SymmetryOperations, lattice: NDArray[np.float64]
) -> PotentialResult:
    """Average forces and stress over symmetry operations.

    Args:
        result: Of a potential.
        operations: Of the crystal.
        lattice: The present lattice, (3, 3) in angstrom.

    Returns:
        The result with averaged forces (N, 3) and stress (3, 3).
    """
    inverse = np.linalg.inv(lattice)
    rotations = lattice.T @ operations.rotations @ inverse.T  # Cartesian, (G, 3, 3), x' = R x
    forces = np.zeros_like(result.forces)
    for rotation, permutation in zip(rotations, operations.permutations, strict=True):
        forces[permutation] += result.forces @ rotation.T
    stress = (rotations @ result.stress @ np.swapaxes(rotations, 1, 2)).mean(axis=0)
    return PotentialResult(result.energy, forces / len(rotations), 0.5 * (stress + stress.T))
