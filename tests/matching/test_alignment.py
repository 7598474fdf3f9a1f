"""Mappings found, and the transformation they describe."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.matching.alignment import Cell, Mapping, Tolerances, best_mapping
from tests.helpers.structures import cesium_chloride, perovskite, reset, rocksalt, rutile, shaken


def _cell(crystal: Crystal) -> Cell:
    return Cell(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)


@pytest.mark.parametrize("crystal", [rocksalt(), perovskite(), rutile()], ids=lambda c: c.chemsys)
def test_the_mapping_lays_one_on_the_other(crystal: Crystal) -> None:
    first, second = shaken(crystal, 5, 0.01, 0.01), crystal
    found = best_mapping(_cell(first), _cell(second), Tolerances())
    assert isinstance(found, Mapping)
    assert round(abs(np.linalg.det(found.cell_matrix))) == 1
    frac = (first.frac_coords @ np.linalg.inv(found.cell_matrix))[found.order] - found.shift
    np.testing.assert_array_equal(first.atomic_numbers[found.order], second.atomic_numbers)
    delta = frac - second.frac_coords
    delta -= np.round(delta)
    rms = np.sqrt(((delta @ second.lattice) ** 2).sum(axis=1).mean()) / (second.volume / second.n_atoms) ** (1 / 3)
    assert rms == pytest.approx(found.rms, rel=0.1)


def test_reasons() -> None:
    salt = _cell(rocksalt())
    assert best_mapping(salt, _cell(perovskite()), Tolerances()) == "cell_size"
    assert best_mapping(salt, _cell(rocksalt("K", "Cl")), Tolerances()) == "composition"
    assert best_mapping(salt, _cell(cesium_chloride("Na", "Cl")), Tolerances()) == "lattice"
    assert best_mapping(_cell(perovskite("Ti", "Sr")), _cell(perovskite()), Tolerances()) == "sites"


def test_good_enough_ends_the_search_but_not_the_match() -> None:
    first, second = _cell(shaken(rutile(), 1, 0.02)), _cell(reset(rutile(), 2))
    wide = Tolerances(lengths=0.9, sites=0.5, angles=60.0)
    best, early = best_mapping(first, second, wide), best_mapping(first, second, wide, good_enough=0.4)
    assert isinstance(best, Mapping)
    assert isinstance(early, Mapping)
    assert best.rms <= early.rms < 0.4
