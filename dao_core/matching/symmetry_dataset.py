"""The symmetry analysis that everybody starts from: moyo's data set of a structure, and what operations do to atoms."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from moyopy import MoyoDataset

    from dao_core.crystal import Crystal


def symmetry_dataset(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    atomic_numbers: NDArray[np.integer],
    symprecs: Sequence[float],
) -> MoyoDataset | None:
    """Space group, Wyckoff letters and standard cells of a structure.

    Args:
        lattice: (3, 3), rows in angstrom.
        frac_coords: (N, 3).
        atomic_numbers: (N,).
        symprecs: Tolerances in angstrom, tried in this order until one gives a space group.

    Returns:
        moyo's data set, None where no tolerance gives one.
    """
    import moyopy

    _quiet()
    cell = moyopy.Cell(lattice.tolist(), frac_coords.tolist(), atomic_numbers.tolist())
    for symprec in symprecs:
        try:
            return moyopy.MoyoDataset(cell, symprec=symprec)
        except (ValueError, RuntimeError):  # the tolerance is too large (or small) for this cell
            continue
    return None


def atom_permutations(
    crystal: Crystal, rotations: NDArray[np.integer], translations: NDArray[np.float64]
) -> NDArray[np.int64] | None:
    """Where symmetry operations x -> W x + w (on fractional columns) carry the atoms of a structure.

    Args:
        crystal: The structure, on which the operations act within some tolerance.
        rotations: W, (K, 3, 3).
        translations: w, (K, 3).

    Returns:
        (K, N): operation k carries atom i to atom [k, i]; None where two atoms would land on one.
    """
    out = np.empty((len(rotations), crystal.n_atoms), dtype=np.int64)
    unlike = crystal.atomic_numbers[:, None] != crystal.atomic_numbers
    for k, (rotation, translation) in enumerate(zip(rotations, translations, strict=True)):
        image = crystal.frac_coords @ rotation.T + translation  # (N, 3)
        away = image[:, None] - crystal.frac_coords
        distance = np.linalg.norm((away - np.round(away)) @ crystal.lattice, axis=-1)
        distance[unlike] = np.inf
        out[k] = distance.argmin(axis=1)
    whole = (np.sort(out, axis=1) == np.arange(crystal.n_atoms)).all()
    return out if whole else None


@lru_cache(maxsize=1)
def _quiet() -> None:
    logging.getLogger("moyo").setLevel(logging.ERROR)  # it warns of each supercell's extra translations
