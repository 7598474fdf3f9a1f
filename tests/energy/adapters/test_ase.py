from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import CalculatorError
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from dao_core.crystal import Crystal
from dao_core.energy.adapters.ase import AsePotential, PotentialCalculator
from dao_core.energy.potential import PotentialFailure, PotentialResult
from tests.helpers.potentials import Scripted, copper, copper_gold, emt


def test_calculator_gives_what_ases_own_gives() -> None:
    atoms, reference = copper().to_ase(), copper().to_ase()
    atoms.calc, reference.calc = PotentialCalculator(emt()), EMT()
    assert atoms.get_potential_energy() == pytest.approx(reference.get_potential_energy(), abs=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), reference.get_forces(), atol=1e-12)
    np.testing.assert_allclose(atoms.get_stress(), reference.get_stress(), atol=1e-12)


def test_calculator_keeps_order_for_atoms_outside_the_cell() -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.positions[0] += 2 * atoms.cell[0]
    reference = atoms.copy()
    atoms.calc, reference.calc = PotentialCalculator(emt()), EMT()
    np.testing.assert_allclose(atoms.get_forces(), reference.get_forces(), atol=1e-9)


def test_calculator_drives_an_ase_optimiser() -> None:
    atoms = copper().to_ase()
    atoms.calc = PotentialCalculator(emt())
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.02, steps=100)


def test_a_failure_is_an_error_with_the_reason() -> None:
    atoms = copper().to_ase()
    atoms.calc = PotentialCalculator(Scripted(lambda *_: PotentialFailure("no idea")))
    with pytest.raises(CalculatorError, match="scripted: no idea"):
        atoms.get_potential_energy()


def test_a_molecule_in_open_space_is_refused() -> None:
    atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]])
    atoms.calc = PotentialCalculator(emt())
    with pytest.raises(CalculatorError, match="pbc"):
        atoms.get_potential_energy()


def test_an_element_outside_the_model_is_a_failure_for_that_crystal_alone() -> None:
    strange = copper().replace(atomic_numbers=[92, 29, 29, 29])
    bad, good = emt().compute([strange, copper()])
    assert isinstance(bad, PotentialFailure)
    assert isinstance(good, PotentialResult)


def _energy(lattice: np.ndarray, frac: np.ndarray) -> float:
    result = emt().compute([Crystal(lattice, frac, [29] * 4)])[0]
    assert isinstance(result, PotentialResult)
    return result.energy


def test_stress_is_the_derivative_of_energy_by_strain() -> None:
    crystal = copper()
    result = emt().compute([crystal])[0]
    assert isinstance(result, PotentialResult)
    for i, j in [(0, 0), (1, 2)]:
        strain = np.zeros((3, 3))
        strain[i, j] += 0.5e-5
        strain[j, i] += 0.5e-5
        up, down = (_energy(crystal.lattice @ (np.eye(3) + s * strain), crystal.frac_coords) for s in (1, -1))
        assert result.stress[i, j] == pytest.approx((up - down) / 2e-5 / crystal.volume, abs=1e-6)


def test_one_calculator_serves_all_crystals_and_keeps_nothing_of_the_last() -> None:
    made = []

    def make() -> EMT:
        made.append(EMT())
        return made[-1]

    crystals = [copper(0), copper_gold(1), copper(2, n=2), copper(0)]
    together = AsePotential(make, "EMT").compute(crystals)
    assert len(made) == 1
    for crystal, outcome in zip(crystals, together, strict=True):
        alone = emt().compute([crystal])[0]
        assert isinstance(outcome, PotentialResult)
        assert isinstance(alone, PotentialResult)
        assert outcome.energy == alone.energy
        np.testing.assert_array_equal(outcome.forces, alone.forces)


class DoubleEMT(EMT):
    """Like MACE in double precision: sets torch's default dtype when it is made and relies on it later."""

    def __init__(self) -> None:
        super().__init__()
        torch.set_default_dtype(torch.float64)

    def calculate(self, *args: object, **kwargs: object) -> None:
        if torch.get_default_dtype() != torch.float64:
            raise RuntimeError("mat1 and mat2 must have the same dtype")
        super().calculate(*args, **kwargs)


def test_a_calculator_that_sets_the_default_dtype_finds_it_and_nobody_else_does() -> None:
    potential, before = AsePotential(DoubleEMT, "double"), torch.get_default_dtype()
    for _ in range(2):
        (outcome,) = potential.compute([copper()])
        assert isinstance(outcome, PotentialResult)
        assert torch.get_default_dtype() == before
