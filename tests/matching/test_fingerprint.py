"""Fingerprints and keys: blind to what doesn't matter, sharp on what does."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.matching.fingerprint import (
    fingerprint,
    fingerprint_distance,
    prototype_key,
    slot_permutations,
    slots_of,
    symmetry_of,
)
from tests.helpers.structures import cesium_chloride, perovskite, reset, rocksalt, rutile, shaken, zincblende


def _print(crystal: Crystal) -> np.ndarray:
    return fingerprint(crystal, slots_of(crystal.atomic_numbers))


def _key(crystal: Crystal) -> str:
    return prototype_key(slots_of(crystal.atomic_numbers), *symmetry_of(crystal))[0]


@pytest.mark.parametrize("crystal", [rocksalt(), perovskite(), rutile()], ids=lambda c: c.chemsys)
def test_fingerprint_ignores_setting_order_and_size(crystal: Crystal) -> None:
    other = reset(crystal.replace(lattice=crystal.lattice * 1.3), 7)
    np.testing.assert_allclose(_print(crystal), _print(other), atol=1e-4)
    assert _key(crystal) == _key(other)


def test_fingerprint_ignores_how_skewed_the_cell_is() -> None:
    crystal, skewed = rocksalt(), np.array([[1.0, 0, 0], [9, 1, 0], [9, 9, 1]])  # the same lattice
    other = crystal.replace(lattice=skewed @ crystal.lattice, frac_coords=crystal.frac_coords @ np.linalg.inv(skewed))
    np.testing.assert_allclose(_print(crystal), _print(other), atol=1e-4)


def test_fingerprint_tells_prototypes_apart_and_moves_little_under_noise() -> None:
    first, second, third = rocksalt("Na", "Cl"), cesium_chloride("Na", "Cl"), zincblende("Na", "Cl")
    assert fingerprint_distance(_print(first), _print(second)) > 0.1
    assert fingerprint_distance(_print(first), _print(third)) > 0.1
    assert fingerprint_distance(_print(first), _print(shaken(first, 1, 0.005, 0.005))) < 0.03


def test_nearest_neighbour_distance_is_in_the_fingerprint() -> None:
    crystal = rocksalt(length=5.64)
    scale = (crystal.volume / 2) ** (1 / 3)
    assert _print(crystal)[0, 1, :6] * scale == pytest.approx(np.full(6, 2.82), rel=1e-5)


def test_key_names_formula_group_and_letters() -> None:
    parts = _key(perovskite()).split("|")
    assert parts[:2] == ["1-1-3", "221"]
    assert sorted(len(p) for p in parts[2:]) == [1, 1, 3]
    assert _key(perovskite("Sr", "Ti")) == _key(perovskite("La", "Al", "F"))


def test_permutations_keep_counts_and_start_with_none() -> None:
    perms = slot_permutations((1, 1, 3), 10)
    assert perms.tolist() == [[0, 1, 2], [1, 0, 2]]
    assert len(slot_permutations((1, 1, 1, 1), 5)) == 5
