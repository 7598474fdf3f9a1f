"""Reductions: the short cut past pymatgen's search for a smaller cell must not change the cell."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from dao_core.crystal import Crystal
from dao_core.matching.rms import compare, reduce_crystal
from tests.helpers.structures import cesium_chloride, perovskite, reset, rocksalt, rutile, shaken


@pytest.mark.parametrize(
    "crystal", [rocksalt(), perovskite(), rutile(), cesium_chloride()], ids=lambda c: str(c.n_atoms)
)
def test_supercells_are_reduced_like_pymatgen(crystal: Crystal) -> None:
    doubled = Crystal.from_pymatgen(crystal.to_pymatgen() * [2, 1, 2])
    for cell in (crystal, doubled, shaken(doubled, 3, size=0.02)):
        expected = StructureMatcher._get_reduced_structure(cell.to_pymatgen())
        got = reduce_crystal(cell)
        assert len(got.numbers) == len(expected)
        assert abs(np.linalg.det(got.matrix)) == pytest.approx(expected.volume)
        np.testing.assert_allclose(np.linalg.norm(got.matrix, axis=1), expected.lattice.abc, rtol=1e-9)


def test_other_setting_of_one_crystal_has_no_distance() -> None:
    crystal = rutile()
    found = compare(reduce_crystal(reset(crystal, 4)), reduce_crystal(crystal))
    assert found.rms == pytest.approx(0.0, abs=1e-6)


def test_a_lattice_far_away_is_named() -> None:
    crystal = perovskite()
    flat = crystal.replace(lattice=crystal.lattice * np.array([[1.0], [1.0], [3.0]]))
    assert compare(reduce_crystal(flat), reduce_crystal(crystal)).reason == "lattice"


def test_sites_far_away_are_named() -> None:
    crystal = perovskite("Sr", "Ti", "O")
    swapped = perovskite("Ti", "Sr", "O")
    assert compare(reduce_crystal(swapped), reduce_crystal(crystal)).reason == "sites"
