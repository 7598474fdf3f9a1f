from __future__ import annotations

import pytest

from dao_core.crystal import Crystal
from dao_core.energy.potential import label_of
from dao_core.hull.label import EnergyLabel
from dao_core.screening.candidate import mass_density, new_candidate
from tests.helpers.candidates import perovskite, rocksalt


def test_a_candidate_knows_what_its_structure_says() -> None:
    c = new_candidate("a", rocksalt(), origin="template", energy_per_atom=-3.2, relaxation_status="converged")
    assert c.formula == "NaCl"
    assert c.min_distance == pytest.approx(2.82)
    assert c.density == pytest.approx(2.16, abs=0.02)  # halite, measured 2.17 g/cm^3
    assert c.volume_per_atom == pytest.approx(5.64**3 / 8)
    assert c.usable
    assert (c.e_above_hull, c.energy_std, c.p_stable, c.novelty) == (None, None, None, None)


@pytest.mark.parametrize("energy", [float("nan"), float("inf")])
def test_an_energy_that_is_no_number_is_unknown_not_ranked(energy: float) -> None:
    c = new_candidate("a", rocksalt(), origin="x", energy_per_atom=energy, relaxation_status="converged")
    assert c.energy_per_atom is None
    assert c.relaxation_status == "potential_failed"
    assert not c.usable


def test_the_model_s_formation_energy_is_the_hull_s_or_dao_p_s_own() -> None:
    plain = new_candidate("a", rocksalt(), origin="x", energy_per_atom=-2.0, energy_identity="CHGNet-0.3.0+abc")
    assert plain.model_formation_energy is None  # a total energy is no formation energy
    assert plain.replace(formation_energy_per_atom=-1.9).model_formation_energy == -1.9
    own = plain.replace(energy_kind="formation")
    assert own.model_formation_energy == -2.0
    assert own.replace(formation_energy_per_atom=-1.9).model_formation_energy == -1.9


def test_a_candidate_s_energy_has_the_label_of_the_potential_that_made_it() -> None:
    from dao_core.energy.registry import load_potential

    potential = load_potential()
    own = new_candidate("a", rocksalt(), origin="x", energy_per_atom=-2.0, label=label_of(potential))
    assert own.energy_label == label_of(potential) == EnergyLabel(potential.identity, "formation")


def test_rejected_relaxations_are_not_usable() -> None:
    c = new_candidate("a", rocksalt(), origin="x", energy_per_atom=-3.0, relaxation_status="rejected_volume")
    assert not c.usable


def test_formula_units() -> None:
    cell = Crystal.from_pymatgen(perovskite().to_pymatgen().make_supercell([2, 1, 1], in_place=False))
    assert new_candidate("a", cell, origin="x").z == 2


def test_density_agrees_with_pymatgen() -> None:
    assert mass_density(perovskite()) == pytest.approx(float(perovskite().to_pymatgen().density), rel=1e-4)
