from __future__ import annotations

import pytest

from dao_core.hull.hull import Hull, HullEntry
from dao_core.hull.label import EnergyLabel, ForeignEnergyError
from dao_core.screening.place_on_hull import place_on_hull
from tests.helpers.candidates import candidate, perovskite, rocksalt

LABEL = EnergyLabel("test-potential")
ENTRIES = (
    HullEntry({11: 2}, -1.3, "na"),
    HullEntry({17: 4}, -1.8, "cl"),
    HullEntry({11: 1, 17: 1}, -3.4, "nacl"),
    HullEntry({11: 2, 17: 2}, -3.1, "nacl-high"),
)


def test_distance_decomposition_and_formation_energy() -> None:
    hull = Hull.from_entries(ENTRIES, LABEL)
    placed = place_on_hull([candidate("a", rocksalt(), -3.38)], hull)[0]
    assert placed.e_above_hull == pytest.approx(0.02)
    assert placed.formation_energy_per_atom == pytest.approx(-3.38 + 1.55)
    assert placed.decomposition == "NaCl"
    assert placed.hull_identity == "test-potential"


def test_a_candidate_below_the_hull_is_negative() -> None:
    placed = place_on_hull([candidate("a", rocksalt(), -3.5)], Hull.from_entries(ENTRIES, LABEL))[0]
    assert placed.e_above_hull == pytest.approx(-0.1)


def test_energies_of_another_potential_are_refused_before_anything_is_computed() -> None:
    hull = Hull.from_entries(ENTRIES, EnergyLabel("MP2020"))
    with pytest.raises(ForeignEnergyError, match=r"test-potential.*MP2020.*relax the hull"):
        place_on_hull([candidate("a", rocksalt(), -3.5)], hull)
    with pytest.raises(ForeignEnergyError):
        place_on_hull([candidate("a", rocksalt(), -3.5, energy_identity=None)], hull)


def test_a_missing_element_leaves_the_distance_unknown_and_says_why() -> None:
    placed = place_on_hull([candidate("a", perovskite(), -8.0)], Hull.from_entries(ENTRIES, LABEL))[0]
    assert placed.e_above_hull is None
    assert "no elemental reference for O, Sr, Ti" in placed.provenance["hull"]


def test_rejected_candidates_get_no_distance() -> None:
    item = candidate("a", rocksalt(), -9.0, relaxation_status="rejected_energy", energy_identity="other")
    assert place_on_hull([item], Hull.from_entries(ENTRIES, LABEL))[0].e_above_hull is None
