"""The symmetry analysis that everybody starts from: moyo's data set of a structure at a tolerance."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from moyopy import MoyoDataset


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


@lru_cache(maxsize=1)
def _quiet() -> None:
    logging.getLogger("moyo").setLevel(logging.ERROR)  # it warns of each supercell's extra translations
