"""Crystals in skewed cells come in reduced ones, with nothing else changed; ordinary cells stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.models.compact import compact_cells, sees_all_neighbors
from tests.helpers.networks import random_crystals
from tests.helpers.structures import in_skewed_cell, perovskite, rocksalt, rutile

CUTOFF = 6.0


@pytest.mark.parametrize("shear", [8, 50, 1000, 100_000])
def test_a_skewed_cell_is_reduced_around_the_same_atoms(shear: int) -> None:
    for crystal in (rocksalt(), rutile(), perovskite()):
        skewed = in_skewed_cell(crystal, shear)
        assert sees_all_neighbors([skewed], CUTOFF) == [False]
        (compact,) = compact_cells([skewed], CUTOFF)
        assert sees_all_neighbors([compact], CUTOFF) == [True]
        assert compact.volume == pytest.approx(crystal.volume)
        moved = (compact.cart_coords - crystal.cart_coords) @ np.linalg.inv(crystal.lattice)
        np.testing.assert_allclose(moved, np.rint(moved), atol=1e-6)  # each atom at its place, or a translation away
        turned = compact.lattice @ np.linalg.inv(crystal.lattice)
        np.testing.assert_allclose(turned, np.rint(turned), atol=1e-6)  # the same lattice, turned nowhere


def test_ordinary_cells_are_not_touched() -> None:
    crystals = [rocksalt(), rutile(), *random_crystals(0, (1, 4, 9))]
    for before, after in zip(crystals, compact_cells(crystals, CUTOFF), strict=True):
        assert after is before


def test_what_no_reduction_helps_is_told() -> None:
    needle = Crystal(np.diag([0.2, 0.2, 100.0]), [[0, 0, 0]], np.array([1]))
    beyond_numbers = in_skewed_cell(rocksalt(), 10**9)
    cells = compact_cells([needle, rocksalt(), beyond_numbers], CUTOFF)
    assert sees_all_neighbors(cells, CUTOFF) == [False, True, False]


def test_nothing_is_nothing() -> None:
    assert compact_cells([], CUTOFF) == []
