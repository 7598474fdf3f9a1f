"""The multiplicity that a CIF block gives for its sites, against the images that its operations make."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dao_core.readers.cif_sites import site_numbers, site_words
from dao_core.readers.cif_symmetry import type_number

if TYPE_CHECKING:
    from gemmi.cif import Block

    from dao_core.readers.cif_sites import Site
    from dao_core.readers.cif_symmetry import Group

MULTIPLICITIES = ("symmetry_multiplicity", "site_symmetry_multiplicity")
ORDER = "site_symmetry_order"
LETTERS = ("Wyckoff_symbol", "Wyckoff_label")
POINTS = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "R": 3, "F": 4}


def multiplicity_differs(block: Block, sites: list[Site], images: NDArray[np.int64], group: Group) -> str | None:
    """What a block says of its sites' multiplicities that the expanded cell denies.

    Multiplicities of the conventional cell are right for a primitive one too, a list of all atoms in P 1 may keep those
    of the group that it came from, and programs of crystal chemistry write the order of the site's symmetry there.

    Args:
        block: One data block.
        sites: Listed sites.
        images: Atoms of the cell that belong to each site, (n,).
        group: Operations.

    Returns:
        The contradiction in words; None where there is none, or nothing is said.
    """
    for name in MULTIPLICITIES:
        given = site_numbers(block, name, len(sites))
        said = [i for i, m in enumerate(given) if not math.isnan(m)]
        if said:
            return _numbers_differ(given, said, sites, images, group)
    given = site_numbers(block, ORDER, len(sites))
    orders = len(group.rotations) // images
    wrong = [i for i, m in enumerate(given) if not math.isnan(m) and m != orders[i]]
    if wrong and len(group.rotations) > 1:
        i = wrong[0]
        return f"the symmetry of site {sites[i].label} has order {orders[i]}, the file says {given[i]:g}"
    return _letter_differs(block, sites, images, group)


def _numbers_differ(
    given: list[float], said: list[int], sites: list[Site], images: NDArray[np.int64], group: Group
) -> str | None:
    different = [i for i in said if given[i] != images[i]]
    if not different or (len(group.rotations) == 1 and _all_listed(given, sites, said)):
        return None
    conventional, orders = images * _conventional(group), len(group.rotations) // images
    if any(all(given[i] == wanted[i] for i in said) for wanted in (conventional, orders)):
        return None
    i = different[0]
    return f"site {sites[i].label} has {images[i]} images in the cell, its multiplicity is given as {given[i]:g}"


def _letter_differs(block: Block, sites: list[Site], images: NDArray[np.int64], group: Group) -> str | None:
    """A Wyckoff letter that stands for another number of positions, which no choice of the origin changes."""
    letters = next((w for name in LETTERS if (w := site_words(block, name, len(sites)))), [])
    number = type_number(group) if letters and len(group.rotations) > 1 else None
    if number is None:
        return None
    conventional = images * _conventional(group)
    from pymatgen.analysis.prototypes import WYCKOFF_MULTIPLICITY_DICT

    table = WYCKOFF_MULTIPLICITY_DICT[str(number)]
    for site, word, found in zip(sites, letters, conventional, strict=True):
        match = re.fullmatch(r"\d*([A-Za-z])", word)
        given = None if match is None else table.get(match[1])
        if given is not None and given != found:
            return f"site {site.label} has {found:g} positions, its Wyckoff letter {word} stands for {given}"
    return None


def _all_listed(given: list[float], sites: list[Site], said: list[int]) -> bool:
    """Whether the atoms of each element and multiplicity are as many as whole orbits have."""
    numbers = Counter((sites[i].z, given[i]) for i in said)
    return all(m >= 1 and n % m == 0 for (_, m), n in numbers.items())


def _conventional(group: Group) -> float:
    """Lattice points of the conventional cell for one of the cell in which the operations are given."""
    import gemmi

    number = type_number(group)
    if number is None:
        return 1.0
    found = gemmi.find_spacegroup_by_number(number)
    identity = np.eye(3, dtype=np.int64)
    centrings = int((group.rotations == identity).all(axis=(1, 2)).sum())
    return POINTS[found.hm[0]] / centrings
