"""Probabilities before any energy: how common a number of formula units is, and what a library leaves to others."""

from __future__ import annotations

from functools import reduce
from math import gcd

from dao_core.library.prior import KNOWN_SHARE

# Formula units in the primitive cells of MP-20's training split (25,050 structures); others are rarer than RARE_UNITS.
UNIT_SHARES = {1: 0.525, 2: 0.339, 3: 0.024, 4: 0.097, 5: 0.001, 6: 0.0043, 8: 0.0083}
RARE_UNITS = 0.0005


def unit_share(cell: dict[str, int]) -> float:
    """How often primitive cells hold as many formula units as this one, whatever the formula."""
    return UNIT_SHARES.get(reduce(gcd, cell.values()), RARE_UNITS)


def left_to_unknown(known: bool) -> float:
    """What is left to structures that the library doesn't have, where it has some of the formula or none."""
    return 1.0 - KNOWN_SHARE if known else 1.0
