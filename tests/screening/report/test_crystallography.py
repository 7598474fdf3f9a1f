"""Sites and powder patterns against pymatgen's own analysis, in cells that are not the conventional one."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from dao_core.crystal import Crystal
from dao_core.screening.report.crystallography import powder_pattern, wyckoff_sites
from tests.helpers.candidates import cesium_chloride, perovskite, rattled, rocksalt
from tests.helpers.hexagonal import hexagonal


@pytest.mark.parametrize("crystal", [rocksalt(), perovskite(), cesium_chloride(), hexagonal()])
def test_sites_agree_with_pymatgen(crystal: Crystal) -> None:
    found = wyckoff_sites(crystal)
    analyzer = SpacegroupAnalyzer(crystal.to_pymatgen())
    conventional = analyzer.get_conventional_standard_structure()
    oracle = SpacegroupAnalyzer(conventional).get_symmetrized_structure()
    expected = [(sites[0].specie.symbol, len(sites)) for sites in oracle.equivalent_sites]
    assert sorted((s["element"], s["multiplicity"]) for s in found) == sorted(expected)
    assert sum(s["multiplicity"] for s in found) == len(conventional)


@pytest.mark.parametrize("crystal", [rocksalt(), perovskite(), hexagonal()])
def test_a_pattern_is_that_of_the_conventional_cell_whatever_cell_is_given(crystal: Crystal) -> None:
    double = Crystal.from_pymatgen(crystal.to_pymatgen().make_supercell([1, 1, 2], in_place=False))
    peaks = powder_pattern(crystal)
    assert [p[2] for p in peaks] == [p[2] for p in powder_pattern(double)]
    oracle = XRDCalculator().get_pattern(
        SpacegroupAnalyzer(crystal.to_pymatgen()).get_conventional_standard_structure()
    )
    strongest = max(peaks, key=lambda p: p[1])
    assert strongest[0] == pytest.approx(float(oracle.x[int(np.argmax(oracle.y))]), abs=0.02)
    assert strongest[1] == 100.0


def test_the_strongest_line_of_rock_salt_is_its_200() -> None:
    assert max(powder_pattern(rocksalt()), key=lambda p: p[1])[2] == "2 0 0"


def test_a_structure_without_symmetry_has_its_sites_one_by_one() -> None:
    assert [s["letter"] for s in wyckoff_sites(rattled(rocksalt(), 0.2))] == ["a", "a"]


@pytest.mark.parametrize("symbol", ["Es", "Fm"])
def test_an_element_without_scattering_factors_has_sites_but_no_pattern(symbol: str) -> None:
    crystal = cesium_chloride(symbol, "O")
    assert powder_pattern(crystal) == []
    assert len(wyckoff_sites(crystal)) == 2
