"""The electron localisation function (Becke and Edgecombe, J. Chem. Phys. 92, 5397 (1990)) and its maxima.

A maximum that belongs to an atom's shell, a bond or a lone pair says how atoms bind; one that belongs to none, far from
every nucleus, is where an electride keeps its electrons.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.matching.distances import distance_matrix
from dao_core.units import BOHR

MaximumKind = Literal["shell", "bond", "lone_pair", "interstitial"]
LOW = 0.5  # ELF of a homogeneous electron gas: a lower maximum localises nothing
LOCALISED = 0.75  # ELF of a pair of electrons with a place of its own
SHELL = 1.35  # covalent radii within which a maximum belongs to the nearest atom
ROUND = 0.10  # spread of ELF over directions at one radius, below which a shell is closed
BOND_ANGLE = 150.0  # degrees, atom - maximum - atom
BOND_LENGTH = 1.3  # of the sum of covalent radii
MERGE = 0.5  # angstrom between two maxima that are one


class CubeError(ValueError):
    """A cube file that is cut off or not one; the message names it."""


@dataclass(frozen=True)
class ElfMaximum:
    """One maximum: fractional position, value, kind, and the nearest nucleus with its distance (angstrom)."""

    frac_coords: tuple[float, float, float]
    value: float
    kind: MaximumKind
    nearest: str
    nearest_index: int
    distance: float


def read_cube(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Grid values (n1, n2, n3) and the lattice (3, 3) in angstrom of a Gaussian cube file. Raises CubeError."""
    try:
        lines = path.read_text().splitlines()
        n_atoms = abs(int(lines[2].split()[0]))
        shape, rows = [], []
        for line in lines[3:6]:
            words = line.split()
            shape.append(int(words[0]))
            rows.append([int(words[0]) * float(x) * BOHR for x in words[1:4]])
        values = np.array(" ".join(lines[6 + n_atoms :]).split(), dtype=np.float64)
        return values.reshape(shape), np.array(rows)
    except (OSError, ValueError, IndexError) as error:
        raise CubeError(f"{path} is no whole cube file ({error}); run pp.x again") from error


def elf_maxima(grid: NDArray[np.float64], crystal: Crystal) -> list[ElfMaximum]:
    """Maxima of the ELF above that of a homogeneous gas, highest first, each with its kind.

    Args:
        grid: (n1, n2, n3) values on the cell's grid.
        crystal: Atoms in the same cell.
    """
    peaks = _peaks(grid)
    order = np.argsort([-grid[tuple(p)] for p in peaks])
    kept: list[tuple[NDArray[np.float64], float]] = []
    for peak in (peaks[i] for i in order):
        frac = peak / np.array(grid.shape)
        if all(_distance(frac, other, crystal.lattice) > MERGE for other, _ in kept):
            kept.append((frac, float(grid[tuple(peak)])))
    return [_classified(frac, value, grid, crystal) for frac, value in kept]


def _peaks(grid: NDArray[np.float64]) -> NDArray[np.intp]:
    """Grid points not lower than any of their 26 neighbours, (M, 3)."""
    highest = np.ones(grid.shape, dtype=bool)
    for shift in product((-1, 0, 1), repeat=3):
        if any(shift):
            highest &= grid >= np.roll(grid, shift, axis=(0, 1, 2))
    return np.argwhere(highest & (grid > LOW))


def _images(frac: NDArray[np.float64], crystal: Crystal) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Vectors (M, 3) from a point to the atoms around it, nearest first, and which atoms they are."""
    cells = np.array(list(product(range(-2, 3), repeat=3)), dtype=np.float64)
    delta = crystal.frac_coords - frac
    delta -= np.round(delta)
    vectors = (delta[:, None, :] + cells[None]) @ crystal.lattice  # (N, 125, 3)
    atoms = np.repeat(np.arange(crystal.n_atoms), len(cells))
    flat = vectors.reshape(-1, 3)
    order = np.argsort(np.linalg.norm(flat, axis=1), kind="stable")
    return flat[order], atoms[order]


def _distance(a: NDArray[np.float64], b: NDArray[np.float64], lattice: NDArray[np.float64]) -> float:
    return float(distance_matrix(lattice, np.stack([a, b]))[0, 1])


def _classified(frac: NDArray[np.float64], value: float, grid: NDArray[np.float64], crystal: Crystal) -> ElfMaximum:
    from ase.data import covalent_radii

    vectors, atoms = _images(frac, crystal)
    distances = np.linalg.norm(vectors, axis=1)
    radii = covalent_radii[crystal.atomic_numbers][atoms]
    nearest = int(atoms[0])
    kind: MaximumKind = "interstitial"
    in_shell = distances[0] < SHELL * radii[0]
    closed = in_shell and _is_round(crystal, nearest, float(distances[0]), value, grid)
    if not closed and _in_bond(vectors[:12], radii[:12]):
        kind = "bond"
    elif in_shell:
        kind = "shell" if closed or value < LOCALISED else "lone_pair"
    x, y, z = (float(v) % 1.0 for v in frac)
    symbol = crystal.symbols[nearest]
    return ElfMaximum((x, y, z), value, kind, symbol, nearest, float(distances[0]))


def _in_bond(vectors: NDArray[np.float64], radii: NDArray[np.float64]) -> bool:
    """Whether the point lies between two atoms that are close enough for a bond."""
    for i in range(len(vectors)):
        for j in range(i):
            a, b = vectors[i], vectors[j]
            length = np.linalg.norm(a - b)
            cosine = a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-9)
            on_line = cosine < np.cos(np.radians(BOND_ANGLE))
            close = np.linalg.norm(a) < SHELL * radii[i] and np.linalg.norm(b) < SHELL * radii[j]
            if on_line and close and length < BOND_LENGTH * (radii[i] + radii[j]) and _shares(a, b):
                return True
    return False


def _shares(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether the point is not a core's: at least a quarter of the way from either atom."""
    first, second = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    return min(first, second) / (first + second) > 0.25


def _is_round(crystal: Crystal, atom: int, radius: float, value: float, grid: NDArray[np.float64]) -> bool:
    """Whether the ELF is about the same in all directions around an atom, as around a closed-shell ion."""
    from scipy.ndimage import map_coordinates

    rng = np.random.default_rng(0)
    directions = rng.normal(size=(64, 3))
    directions *= radius / np.linalg.norm(directions, axis=1, keepdims=True)
    points = crystal.frac_coords[atom] + directions @ np.linalg.inv(crystal.lattice)
    samples = map_coordinates(grid, (points % 1.0).T * np.array(grid.shape)[:, None], order=1, mode="grid-wrap")
    return bool(value - float(np.quantile(samples, 0.1)) < ROUND)
