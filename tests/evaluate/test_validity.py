"""The published validity filters."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import crystal_from_symbols
from dao_core.evaluate.validity import composition_valid, min_distance, structure_valid, validity
from tests.helpers.structures import perovskite, rocksalt, rutile


def test_distance_sees_periodic_images() -> None:
    crystal = crystal_from_symbols(np.eye(3) * 4.0, ["Na", "Cl"], [[0.02, 0, 0], [0.92, 0, 0]])
    assert min_distance(crystal) == pytest.approx(0.4)
    assert not structure_valid(crystal)


def test_one_atom_has_no_neighbour() -> None:
    crystal = crystal_from_symbols(np.eye(3) * 2.5, ["Fe"], [[0, 0, 0]])
    assert min_distance(crystal) == float("inf")
    assert structure_valid(crystal)


def test_composition_rule() -> None:
    assert composition_valid(rocksalt())
    assert composition_valid(perovskite())
    assert composition_valid(rocksalt("Cu", "Zn"))  # an alloy
    assert not composition_valid(rutile("Cl", "Na"))  # no oxidation states make Na2Cl neutral


def test_reasons_add_up() -> None:
    flags, n_ok, n_failed, reasons = validity(crystals=[rocksalt(), rutile("Cl", "Na"), None])
    assert flags == [True, False, False]
    assert (n_ok, n_failed) == (3, 0)
    assert reasons == {"valid": 1, "composition": 1, "none": 1}
