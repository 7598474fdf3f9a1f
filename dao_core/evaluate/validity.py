"""The validity filters of the published benchmarks: structure (distances, volume) and composition (SMACT)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import gcd

import numpy as np

from dao_core.crystal import Crystal
from dao_core.matching.distances import distance_matrix

MIN_DISTANCE = 0.5  # angstrom
MIN_VOLUME = 0.1  # angstrom^3
OXIDATION_STATES = "smact14"  # the table that the published filtered rates used


def min_distance(crystal: Crystal) -> float:
    """Shortest distance between two different atoms of the cell, periodic images included, in angstrom.

    Infinite for one atom: distances of an atom to its own images don't count, as in the published filter.
    """
    distances = distance_matrix(crystal.lattice, crystal.frac_coords)
    np.fill_diagonal(distances, np.inf)
    return float(distances.min())


def structure_valid(crystal: Crystal) -> bool:
    """Distances of at least 0.5 angstrom and a volume of at least 0.1 angstrom^3 (Xie et al., ICLR 2022)."""
    return crystal.volume >= MIN_VOLUME and min_distance(crystal) >= MIN_DISTANCE


def composition_valid(crystal: Crystal) -> bool:
    """SMACT: charge neutral with Pauling order for some oxidation states; elements and alloys are valid."""
    composition = crystal.composition
    divisor = gcd(*composition.values())
    return _smact(tuple((symbol, n // divisor) for symbol, n in composition.items()))


@lru_cache(maxsize=100_000)
def _smact(composition: tuple[tuple[str, int], ...]) -> bool:
    from pymatgen.core import Composition
    from smact.screening import smact_validity

    return bool(smact_validity(Composition(dict(composition)), oxidation_states_set=OXIDATION_STATES))


def validity(*, crystals: Sequence[Crystal | None]) -> tuple[list[bool], int, int, dict[str, int]]:
    """Whether each structure passes both filters: (flags, n_ok, n_failed, reasons).

    Reasons: valid, structure, composition, none (no structure given). Nothing can fail to be measured here.
    """
    reasons = [_reason(c) for c in crystals]
    return [r == "valid" for r in reasons], len(reasons), 0, dict(Counter(reasons))


def _reason(crystal: Crystal | None) -> str:
    if crystal is None:
        return "none"
    if not structure_valid(crystal):
        return "structure"
    return "valid" if composition_valid(crystal) else "composition"
