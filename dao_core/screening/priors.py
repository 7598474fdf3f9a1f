"""Probabilities before any energy: how common a number of formula units is, and what a library leaves to others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import gcd, log

import numpy as np

from dao_core.library.prior import KNOWN_SHARE

# Formula units in the primitive cells of MP-20's training split (25,050 structures); others are rarer than RARE_UNITS.
UNIT_SHARES = {1: 0.525, 2: 0.339, 3: 0.024, 4: 0.097, 5: 0.001, 6: 0.0043, 8: 0.0083}
RARE_UNITS = 0.0005


# How sharply structures of alike compounds tell the cell, and how much they have to say before they count more than how
# common its number of formula units is. Fitted by benchmarks/fit_cell_shares.py on 3,000 compositions of the library
# without their own entries: the likeliest cell is right for 80 % (31 % by formula units alone), and of the templates of
# all cells the right one is first for 66.5 % (42.8 %).
EVIDENCE_WEIGHT, ENOUGH_EVIDENCE = 2.19, 8.24


def cell_shares(cells: Sequence[dict[str, int]], evidence: Sequence[float | None]) -> list[float]:
    """How likely each cell of a formula is the primitive cell of its structure.

    Compounds alike mostly have as many formula units. Where nothing resembles the formula, how common a number of
    formula units is decides.

    Args:
        cells: Contents, symbol -> atoms.
        evidence: Of the templates for each (`TemplateIndex.log_evidence`), None where there is none.

    Returns:
        Probabilities that add up to one.
    """
    alike = np.array([-np.inf if value is None else EVIDENCE_WEIGHT * value for value in evidence])
    common = np.array([log(unit_share(cell)) for cell in cells]) + ENOUGH_EVIDENCE
    odds = np.logaddexp(alike, common)
    return [float(p) for p in np.exp(odds - np.logaddexp.reduce(odds))]


def unit_share(cell: dict[str, int]) -> float:
    """How often primitive cells hold as many formula units as this one, whatever the formula."""
    return UNIT_SHARES.get(reduce(gcd, cell.values()), RARE_UNITS)


def left_to_unknown(known: bool) -> float:
    """What is left to structures that the library doesn't have, where it has some of the formula or none."""
    return 1.0 - KNOWN_SHARE if known else 1.0
