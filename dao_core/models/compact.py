"""Cells in which a network sees all neighbours: its image search is bounded, and a skewed cell needs more images.

The same crystal has cells of any shape. A reduced one needs the fewest images, so a crystal whose cell needs too many
is described in its reduced cell before a network sees it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from dao_core.crystal import Crystal
from dao_core.matching.distances import minkowski_reduced
from dao_core.models.geometry import all_searched, images_needed

MARGIN = 1.0 + 1e-5  # a network counts in single precision, and must not find more images than are counted here


def compact_cells(crystals: Sequence[Crystal], cutoff: float) -> list[Crystal]:
    """The crystals, those in whose cells neighbours would be missed in their Minkowski-reduced cells.

    Atoms keep their order and the crystal its orientation in space: energy, forces and stress are the same.

    Args:
        crystals: In any cells.
        cutoff: Of the network, angstrom.

    Returns:
        As many, in order; `sees_all_neighbors` says of which even the reduced cell is too flat.
    """
    sound = sees_all_neighbors(crystals, cutoff)
    return [c if ok else _reduced(c) for c, ok in zip(crystals, sound, strict=True)]


def sees_all_neighbors(crystals: Sequence[Crystal], cutoff: float) -> list[bool]:
    """Whether the image search finds every neighbour in the cells as they are.

    Args:
        crystals: In any cells.
        cutoff: Of the network, angstrom.

    Returns:
        One answer for each.
    """
    if not crystals:
        return []
    inverse, _ = torch.linalg.inv_ex(torch.from_numpy(np.stack([c.lattice for c in crystals])))
    needed = images_needed(inverse, cutoff * MARGIN)
    return [bool(ok) for ok in all_searched(needed).tolist()]


def _reduced(crystal: Crystal) -> Crystal:
    """In the Minkowski-reduced cell; as it is where its numbers are too large to be reduced."""
    try:
        lattice, frac_coords = minkowski_reduced(crystal.lattice, crystal.frac_coords)
        return crystal.replace(lattice=lattice, frac_coords=frac_coords)
    except ValueError:
        return crystal
