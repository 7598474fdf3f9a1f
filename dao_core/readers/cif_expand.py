"""From listed sites to all atoms of the cell: images by symmetry, rounded special positions put back in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import wrap
from dao_core.readers.base import UnreadableError

if TYPE_CHECKING:
    from dao_core.readers.cif_sites import Site
    from dao_core.readers.cif_symmetry import Group

EXACT = 1e-4  # angstrom; images this close are one without a word
WIDEST = 0.25  # angstrom; whatever the rounding, atoms farther apart are different ones
MAX_ATOMS = 5_000


def expand(
    lattice: NDArray[np.float64], sites: list[Site], group: Group
) -> tuple[NDArray[np.float64], list[int], list[str]]:
    """All atoms of the cell.

    A position that is written with few decimals (0.333 for 1/3) lies beside the symmetry element that it is meant to
    lie on, and its images beside each other. Images that are no farther apart than the rounding allows are one; the
    position is moved onto the element, which a note says.

    Args:
        lattice: (3, 3), rows in angstrom.
        sites: Listed sites.
        group: Operations.

    Returns:
        Fractional coordinates (N, 3), the site of each atom, and notes.

    Raises:
        UnreadableError: More atoms than any crystal here may have.
    """
    frac: list[NDArray[np.float64]] = []
    owner: list[int] = []
    notes = []
    for i, site in enumerate(sites):
        place, moved = _on_its_element(lattice, site, group)
        if moved > EXACT:
            notes.append(f"{site.label} moved by {moved:.1g} A onto its special position")
        images = group.rotations @ place + group.translations
        images = images[_distinct(lattice, images)]
        frac += list(images)
        owner += [i] * len(images)
        if len(owner) > MAX_ATOMS:
            raise UnreadableError(f"more than {MAX_ATOMS} atoms in the cell: no crystal of that size is read")
    return wrap(np.array(frac)), owner, notes


def _on_its_element(lattice: NDArray[np.float64], site: Site, group: Group) -> tuple[NDArray[np.float64], float]:
    """The site's position on the symmetry element that it lies on within its rounding, and the move in angstrom."""
    if len(group.rotations) == 1:
        return site.frac, 0.0
    # a unit of the last digit, in the position and in its image
    tolerance = EXACT + min(WIDEST, 4.0 * float(np.linalg.norm(site.rounding[:, None] * lattice, axis=1).sum()))
    images = group.rotations @ site.frac + group.translations
    away = images - site.frac
    away -= np.rint(away)
    near = np.linalg.norm(away @ lattice, axis=1) <= tolerance
    move = away[near].mean(axis=0)
    if (np.abs(move) > 2.0 * site.rounding + 1e-6).any():
        return site.frac, 0.0  # no rounding explains it: the distances will tell
    place = site.frac + move
    return place, float(np.linalg.norm((place - site.frac) @ lattice))


def _distinct(lattice: NDArray[np.float64], images: NDArray[np.float64]) -> NDArray[np.intp]:
    """Index of the first of each group of equal images."""
    away = images[:, None] - images[None]
    away -= np.rint(away)
    same = np.linalg.norm(away @ lattice, axis=-1) < 100 * EXACT
    return np.flatnonzero(same.argmax(axis=1) == np.arange(len(images)))
