"""Log-strain coordinates: positions and cell of one crystal as one flat vector that an optimiser can walk in.

With the start lattice A0 (rows) and a symmetric log strain S, the lattice is A = A0 exp(S) and the positions are
X = U exp(S), so a change of S strains the crystal homogeneously. The walker sees [U (N, 3); c S (3, 3)] flattened.
This is the coordinate of ASE's FrechetCellFilter, restricted to symmetric strain (no rotation of the cell).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.energy.potential import PotentialResult

Vector = NDArray[np.float64]


@dataclass
class CellWalker:
    """The fixed part of the coordinates: start lattice, species and the weight of the strain against the positions.

    `strain_weight` c (angstrom) makes a strain step and a displacement comparable: the curvature of a crystal is about
    10 eV/angstrom^2 an atom in U and 10-20 eV N in S, which are alike at c = sqrt(N) angstrom.
    """

    lattice: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]
    strain_weight: float
    relax_cell: bool

    @property
    def n_atoms(self) -> int:
        """Atoms in the cell."""
        return len(self.atomic_numbers)


def walker_init(crystal: Crystal, *, relax_cell: bool) -> tuple[CellWalker, Vector]:
    """The walker of a crystal and where it starts.

    Args:
        crystal: The start.
        relax_cell: Whether the cell moves too.

    Returns:
        The walker and the start vector, (3 N,) or (3 N + 9,).
    """
    walker = CellWalker(crystal.lattice, crystal.atomic_numbers, float(np.sqrt(crystal.n_atoms)), relax_cell)
    x = crystal.cart_coords.ravel()
    return walker, np.concatenate([x, np.zeros(9)]) if relax_cell else x


def walker_arrays(walker: CellWalker, x: Vector) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The crystal at a vector.

    Args:
        walker: The fixed part.
        x: The vector.

    Returns:
        Lattice (3, 3) in angstrom and fractional coordinates (N, 3), not wrapped.
    """
    u = x[: 3 * walker.n_atoms].reshape(-1, 3)
    frac = np.asarray(np.linalg.solve(walker.lattice.T, u.T).T)  # U = F A0, whatever the strain
    if not walker.relax_cell:
        return walker.lattice, frac
    eigenvalues, q = np.linalg.eigh(_strain(walker, x))
    return walker.lattice @ ((q * np.exp(eigenvalues)) @ q.T), frac


def walker_gradient(walker: CellWalker, x: Vector, result: PotentialResult, pressure: float) -> Vector:
    """Gradient of the enthalpy E + pV in the walker's coordinates.

    The derivative of the matrix exponential is the Daleckii-Krein formula in the eigenbasis of S.

    Args:
        walker: The fixed part.
        x: The vector.
        result: Energy, forces and stress there.
        pressure: eV/angstrom^3.

    Returns:
        As long as x, eV/angstrom.
    """
    if not walker.relax_cell:
        return -result.forces.ravel()
    eigenvalues, q = np.linalg.eigh(_strain(walker, x))
    exponentials = np.exp(eigenvalues)
    deformation = (q * exponentials) @ q.T
    lattice = walker.lattice @ deformation
    volume = abs(float(np.linalg.det(lattice)))
    virial = volume * (result.stress + pressure * np.eye(3))  # dH/dstrain in the present cell
    inverse = (q / exponentials) @ q.T
    by_deformation = inverse @ virial
    difference = eigenvalues[:, None] - eigenvalues[None, :]
    mean = np.exp(0.5 * (eigenvalues[:, None] + eigenvalues[None, :]))
    # (e^a - e^b) / (a - b) = e^((a + b) / 2) sinh(d) / d with d = (a - b) / 2, which is stable at a = b
    half = 0.5 * difference
    ratio = np.where(np.abs(half) < 1e-6, 1.0, np.sinh(half) / np.where(half == 0.0, 1.0, half))
    by_strain = q @ ((mean * ratio) * (q.T @ by_deformation @ q)) @ q.T
    by_strain = 0.5 * (by_strain + by_strain.T) / walker.strain_weight
    return np.concatenate([-(result.forces @ deformation).ravel(), by_strain.ravel()])


def _strain(walker: CellWalker, x: Vector) -> NDArray[np.float64]:
    strain = x[3 * walker.n_atoms :].reshape(3, 3) / walker.strain_weight
    return 0.5 * (strain + strain.T)
