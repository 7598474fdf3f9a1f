"""Crystals that label_structures.py builds: elements in simple structures, supercells, strained and displaced cells."""

from __future__ import annotations

import numpy as np

from dao_core.crystal import Crystal, InvalidCrystalError

CUBIC = {  # fractional coordinates of the atoms in a cubic cell of edge 1, and atoms a cell
    "fcc": ([[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], [[0, 0, 0]]),
    "bcc": ([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]], [[0, 0, 0]]),
    "sc": (np.eye(3).tolist(), [[0, 0, 0]]),
    "diamond": ([[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "A15": (np.eye(3).tolist(), [[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0, 0.5], [0.75, 0, 0.5], [0.5, 0.25, 0],
                                 [0.5, 0.75, 0], [0, 0.5, 0.25], [0, 0.5, 0.75]]),
}  # fmt: skip


def element_crystal(name: str, z: int, volume: float) -> Crystal:
    """An element in a simple structure at a volume an atom (angstrom^3)."""
    if name in CUBIC:
        vectors, sites = CUBIC[name]
        lattice = np.array(vectors, dtype=float)
        lattice *= (volume * len(sites) / abs(np.linalg.det(lattice))) ** (1 / 3)
        return Crystal(lattice, np.array(sites, dtype=float), np.full(len(sites), z))
    if name == "dimer":  # a molecule of two atoms, loosely packed
        edge = max(4.0, (4 * volume) ** (1 / 3))
        return Crystal(np.eye(3) * edge, np.array([[0, 0, 0], [0.75 * volume ** (1 / 3) / edge, 0, 0]]), np.full(2, z))
    ratio, sites = (1.63, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]])
    if name == "graphite":
        ratio, sites = (2.7, [[0, 0, 0.25], [1 / 3, 2 / 3, 0.25], [0, 0, 0.75], [2 / 3, 1 / 3, 0.75]])
    lattice = np.array([[1, 0, 0], [-0.5, np.sqrt(3) / 2, 0], [0, 0, ratio]])
    lattice *= (volume * len(sites) / abs(np.linalg.det(lattice))) ** (1 / 3)
    return Crystal(lattice, np.array(sites), np.full(len(sites), z))


def doubled(crystal: Crystal, axes: list[int]) -> Crystal:
    """The supercell of so many cells along each axis."""
    shifts = np.array(np.meshgrid(*[np.arange(n) for n in axes], indexing="ij")).reshape(3, -1).T
    frac = (crystal.frac_coords[:, None] + shifts[None]).reshape(-1, 3) / np.array(axes)
    return Crystal(crystal.lattice * np.array(axes)[:, None], frac, np.repeat(crystal.atomic_numbers, len(shifts)))


def disturbed(crystal: Crystal, rng: np.random.Generator, size: float, strain: np.ndarray) -> list[Crystal]:
    """The crystal under a strain, its atoms displaced by normal noise of `size` angstrom; empty where it is none."""
    lattice = crystal.lattice @ (np.eye(3) + 0.5 * (strain + strain.T))
    noise = rng.normal(scale=size, size=(crystal.n_atoms, 3)) if size else np.zeros((crystal.n_atoms, 3))
    return built(lattice, crystal.frac_coords + noise @ np.linalg.inv(lattice), crystal.atomic_numbers)


def built(lattice: np.ndarray, frac: np.ndarray, numbers: np.ndarray) -> list[Crystal]:
    try:
        return [Crystal(lattice, frac, numbers)]
    except InvalidCrystalError:
        return []
