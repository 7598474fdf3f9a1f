"""What a template is once its elements are forgotten: species classes, prototype key, geometric fingerprint."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from itertools import islice, permutations, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.matching.distances import minkowski_reduced
from dao_core.matching.structure_key import SYMPREC
from dao_core.matching.symmetry_dataset import symmetry_dataset

SAME_DISTANCE = 0.05  # most repeats of a structure in one cell are closer than this (see `dao_core.matching.seen`)
N_NEIGHBOURS = 8  # distances kept for each ordered pair of species classes
CUTOFF = 2.6  # in units of (volume per atom)^(1/3); about 74 neighbours of one atom lie inside
MAX_REACH = 6  # cells; reduced ones need fewer


@dataclass(frozen=True)
class Slots:
    """The species classes of a structure: elements ordered by their count, then atomic number.

    `elements` (S,) atomic numbers, `counts` (S,), `labels` (N,) the class of each atom.
    """

    elements: NDArray[np.int64]
    counts: NDArray[np.int64]
    labels: NDArray[np.int64]


def slots_of(atomic_numbers: NDArray[np.int64]) -> Slots:
    """Species classes of the atoms of one cell."""
    elements, inverse, counts = np.unique(atomic_numbers, return_inverse=True, return_counts=True)
    order = np.lexsort((elements, counts))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return Slots(elements[order], counts[order], rank[inverse])


def fingerprint(crystal: Crystal, slots: Slots) -> NDArray[np.float32]:
    """Average minimum distances resolved by species class, in units of (V/N)^(1/3).

    Entry (a, b, k) is the distance from an atom of class a to its k-th nearest neighbour of class b, averaged over the
    atoms of class a, and clipped at CUTOFF. Continuous under small displacements and independent of cell, origin and
    atom order. Source: Widdowson et al., MATCH 87, 529 (2022), split by species.

    Args:
        crystal: Any structure.
        slots: Its species classes, from `slots_of`.

    Returns:
        (S, S, N_NEIGHBOURS).
    """
    length = (crystal.volume / crystal.n_atoms) ** (1 / 3)
    distances = _distances(crystal.lattice / length, crystal.frac_coords)  # (N, N, images)
    n_species = len(slots.elements)
    out = np.empty((n_species, n_species, N_NEIGHBOURS), dtype=np.float32)
    for b in range(n_species):
        columns = distances[:, slots.labels == b].reshape(crystal.n_atoms, -1)  # (N, n_b * images)
        if columns.shape[1] < N_NEIGHBOURS:
            columns = np.pad(columns, ((0, 0), (0, N_NEIGHBOURS - columns.shape[1])), constant_values=CUTOFF)
        elif columns.shape[1] > N_NEIGHBOURS:
            columns = np.partition(columns, N_NEIGHBOURS - 1, axis=1)[:, :N_NEIGHBOURS]
        nearest = np.minimum(np.sort(columns, axis=1), CUTOFF)
        for a in range(n_species):
            out[a, b] = nearest[slots.labels == a].mean(axis=0)
    return out


def _distances(lattice: NDArray[np.float64], frac: NDArray[np.float64]) -> NDArray[np.float32]:
    """Distances between all atoms and all images that can lie within CUTOFF, (N, N, images); self is CUTOFF."""
    reach = _reach(lattice)
    if reach.max() > MAX_REACH:  # only a skewed cell needs so many images
        lattice, frac = minkowski_reduced(lattice, frac)
        reach = _reach(lattice)
    grids = [np.arange(-r, r + 1) for r in reach]
    images = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, 3)
    delta = frac[None, :, :] - frac[:, None, :]
    delta -= np.round(delta)  # (N, N, 3)
    shifts = (images @ lattice).astype(np.float32)
    # images that no atom pair can bring inside the cutoff only cost time
    longest = np.linalg.norm(delta @ lattice, axis=-1).max()
    shifts = shifts[np.linalg.norm(shifts, axis=1) <= CUTOFF + longest + 1e-6]
    vectors = (delta @ lattice).astype(np.float32)[:, :, None, :] + shifts  # (N, N, images, 3)
    distances = np.sqrt(np.einsum("ijkl,ijkl->ijk", vectors, vectors))
    distances[distances < 1e-3] = CUTOFF
    return distances


def _reach(lattice: NDArray[np.float64]) -> NDArray[np.int64]:
    """Cells in each direction that can hold a neighbour within CUTOFF, (3,)."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)  # spacing of the lattice planes
    return np.ceil(CUTOFF / heights).astype(int)


def symmetry_of(crystal: Crystal) -> tuple[int, list[str]]:
    """Space-group number and Wyckoff letter of each atom; (1, ['a', ...]) where the symmetry search fails."""
    dataset = symmetry_dataset(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers, [SYMPREC])
    if dataset is None:
        return 1, ["a"] * crystal.n_atoms
    return int(dataset.number), list(dataset.wyckoffs)


def prototype_key(slots: Slots, spacegroup: int, wyckoffs: list[str]) -> tuple[str, NDArray[np.int64]]:
    """Anonymous formula, space group and Wyckoff letters of each class, such as `1-1-3|221|a|b|ccc`.

    The letters depend on which of several equal origins was chosen; the alphabetically first of the equivalent
    labellings is taken.

    Args:
        slots: Species classes, from `slots_of`.
        spacegroup: Number of the space group.
        wyckoffs: Letter of each atom, (N,).

    Returns:
        The key, and the order (S,) that brings the classes into the key's own (by count, then letters); classes
        equal in both are left in the order of `slots`.
    """
    letters: list[list[str]] = [[] for _ in slots.counts]
    for label, letter in zip(slots.labels, wyckoffs, strict=True):
        letters[label].append(letter)
    counts = [int(c) for c in slots.counts]
    choices = []
    for relabeling in equivalent_labellings()[spacegroup]:
        names = ["".join(sorted(relabeling[x] for x in ls)) for ls in letters]
        order = sorted(range(len(names)), key=lambda j: (counts[j], names[j], j))
        choices.append(([names[j] for j in order], order))
    names, order = min(choices)
    return "|".join(["-".join(map(str, counts)), str(spacegroup), *names]), np.array(order)


@lru_cache(maxsize=1)
def equivalent_labellings() -> dict[int, list[dict[str, str]]]:
    """Relabellings of Wyckoff letters by the normaliser of each space group, from the table that pymatgen carries.

    Read from the file: importing pymatgen's module would also decode its whole prototype library.
    """
    spec = find_spec("pymatgen.analysis.prototypes")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pymatgen.analysis.prototypes is missing: install pymatgen>=2026.10.24")
    path = Path(spec.origin).with_name("wyckoff-position-relabelings.json.gz")
    table = json.loads(gzip.decompress(path.read_bytes()))
    return {  # letters stand there as character codes
        int(number): [{chr(int(code)): letter for code, letter in one.items()} for one in relabelings]
        for number, relabelings in table.items()
    }


def slot_permutations(counts: tuple[int, ...], limit: int) -> NDArray[np.int64]:
    """Permutations of the species classes that keep their counts, the identity first.

    Args:
        counts: Atoms of each class, (S,).
        limit: Most permutations.

    Returns:
        (P, S).
    """
    blocks = [[j for j, c in enumerate(counts) if c == count] for count in sorted(set(counts))]
    choices = product(*(permutations(block) for block in blocks))
    return np.array([[j for block in choice for j in block] for choice in islice(choices, limit)])


def permute_fingerprint(prints: NDArray[np.float32], perms: NDArray[np.int64]) -> NDArray[np.float32]:
    """A fingerprint seen with its classes reordered by each permutation.

    Args:
        prints: (S, S, K).
        perms: (P, S).

    Returns:
        (P, S, S, K).
    """
    return prints[perms[:, :, None], perms[:, None, :]]


def fingerprint_distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Root-mean-square difference of fingerprints over their last three axes.

    Args:
        first: (..., S, S, K), in units of (V/N)^(1/3).
        second: The same shape, or one that broadcasts.

    Returns:
        (...), in the same units.
    """
    return np.sqrt(((first - second) ** 2).mean(axis=(-3, -2, -1)))
