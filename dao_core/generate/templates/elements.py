"""What the index knows of elements: how well one replaces another, and how much room each takes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dao_core.elements import MAX_ATOMIC_NUMBER, SYMBOLS

N_ELEMENTS = MAX_ATOMIC_NUMBER + 1  # row 0 is unused
PRIOR_WEIGHT = 0.6  # pseudo-substitutions per element given to the fixed fallback


@lru_cache(maxsize=1)
def element_coordinates() -> NDArray[np.float64]:
    """Standardised chemical coordinates of the elements, (101, 6): the fixed fallback's space.

    Electronegativity (Pauling; 1.6 where unknown), covalent radius, main group by folded column, valence electrons,
    period and a d/f-block flag, each divided by its spread and weighted by how much it decides what an atom replaces.
    """
    from ase.data import covalent_radii
    from pymatgen.core import Element

    elements = [Element(SYMBOLS[z]) for z in range(1, N_ELEMENTS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns for each noble gas without a Pauling value
        electronegativity = [float(e.X) for e in elements]
    rows = []
    for element, value in zip(elements, electronegativity, strict=True):
        x = value if value > 0 else 1.6
        group = 3 if element.block == "f" else int(element.group)
        rows.append(
            [x, covalent_radii[element.Z], group / 18, min(group, 18 - group) / 9, element.row, element.block in "df"]
        )
    table = np.array(rows, dtype=float)
    table = (table - table.mean(axis=0)) / table.std(axis=0)
    weights = np.array([1.0, 1.0, 1.2, 0.6, 0.4, 0.6])
    return np.concatenate([np.zeros((1, table.shape[1])), table * weights])


def fallback_similarity() -> NDArray[np.float64]:
    """Similarity in (0, 1] from the distance of the chemical coordinates, (101, 101)."""
    x = element_coordinates()
    squared = ((x[:, None, :] - x[None, :, :]) ** 2).sum(axis=-1)
    out = np.exp(-squared)
    out[0, 1:] = out[1:, 0] = 0.0  # row 0 is no element
    return out


def substitution_log_odds(slots: Iterable[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Learned element similarity: log of how much more often two elements share a slot than by chance, (101, 101).

    `slots` holds, for each slot of each prototype, the atomic numbers found there in different structures. A slot
    with n occupants counts as n observations, not n squared, so the few huge prototypes don't outvote the rest. Pairs
    never seen fall back on `fallback_similarity`. Idea: Hautier et al., Inorg. Chem. 50, 656 (2011), here as smoothed
    counts.
    """
    counts = np.zeros((N_ELEMENTS, N_ELEMENTS))
    for occupants in slots:
        seen, n = np.unique(occupants, return_counts=True)
        total = n.sum()
        if total < 2:
            continue
        block = np.outer(n, n) / (total - 1)
        block[np.diag_indices(len(n))] -= n / (total - 1)
        counts[np.ix_(seen, seen)] += block
    prior = fallback_similarity()
    counts += PRIOR_WEIGHT * prior / prior.sum(axis=1, keepdims=True) * np.sqrt(counts.sum(axis=1, keepdims=True) + 1.0)
    counts = (counts + counts.T) / 2
    share = counts.sum(axis=1)
    share[0] = counts[0, 0] = 1.0
    table = np.log(np.maximum(counts, 1e-12) * share.sum() / np.outer(share, share))
    np.fill_diagonal(table, table.max(axis=1))  # an element replaces itself best, however rare it is
    return np.asarray(table)
