from __future__ import annotations

import numpy as np
import pytest
from ase.build import graphene

from dao_core.crystal import Crystal
from dao_core.energy.adapters.dispersion import DispersionPotential
from dao_core.energy.potential import PotentialFailure, PotentialResult
from dao_core.screening.candidate import model_name
from tests.helpers.potentials import Scripted, constant, copper, emt

pytest.importorskip("dftd3")


def test_it_adds_what_the_package_s_own_calculator_gives() -> None:
    from dftd3.ase import DFTD3

    crystal = copper()
    atoms = crystal.to_ase()
    atoms.calc = DFTD3(method="PBE", damping="d3bj")
    plain, corrected = emt().compute([crystal])[0], DispersionPotential(emt()).compute([crystal])[0]
    assert isinstance(plain, PotentialResult)
    assert isinstance(corrected, PotentialResult)
    assert corrected.energy - plain.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
    np.testing.assert_allclose(corrected.forces - plain.forces, atoms.get_forces(), atol=1e-8)
    np.testing.assert_allclose(corrected.stress - plain.stress, atoms.get_stress(voigt=False), atol=1e-8)


def test_layers_attract_and_the_stress_says_so() -> None:
    def layers(gap: float) -> Crystal:
        atoms = graphene(vacuum=gap / 2)
        atoms.pbc = True
        return Crystal.from_ase(atoms)

    near, far = DispersionPotential(Scripted(constant(0.0))).compute([layers(3.5), layers(6.0)])
    assert isinstance(near, PotentialResult)
    assert isinstance(far, PotentialResult)
    assert near.energy < far.energy
    assert near.stress[2, 2] > 0  # tension: the cell wants to shrink


def test_a_failure_of_the_base_stays_and_the_others_go_on() -> None:
    strange = copper().replace(atomic_numbers=[92, 29, 29, 29])
    bad, good = DispersionPotential(emt()).compute([strange, copper()])
    assert isinstance(bad, PotentialFailure)
    assert isinstance(good, PotentialResult)


def test_what_lies_outside_the_base_s_training_still_does() -> None:
    class Strict(Scripted):
        def outside(self, crystal: Crystal) -> str | None:
            return f"{crystal.n_atoms} atoms"

    limited = DispersionPotential(Strict(constant(0.0)))
    assert limited.outside is not None
    assert limited.outside(copper()) == "4 atoms"
    assert DispersionPotential(emt()).outside is None


def test_its_energies_carry_another_name() -> None:
    assert DispersionPotential(emt()).identity == "PBE-D3(BJ)+EMT"
    assert model_name("PBE-D3(BJ)+SevenNet-l3i5+11008a3e793b") == "SevenNet-l3i5+D3"
    assert model_name("SevenNet-l3i5+11008a3e793b") == "SevenNet-l3i5"


def test_what_another_functional_adds_is_the_base_s_answer() -> None:
    class Two(Scripted):
        def r2scan_shifts(self, crystals: list[Crystal]) -> list[float]:
            return [0.25 for _ in crystals]

    assert DispersionPotential(Two(constant(0.0))).r2scan_shifts([copper()]) == [0.25]
    assert not hasattr(DispersionPotential(emt()), "r2scan_shifts")
