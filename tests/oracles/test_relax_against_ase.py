"""Our optimisers against ASE's, on the same potential from the same start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE, LBFGS

from dao_core.crystal import Crystal
from dao_core.energy.adapters.ase import PotentialCalculator
from dao_core.energy.potential import Potential
from dao_core.energy.relaxation.relax import RelaxSettings, relax
from dao_core.units import GPA_PER_EV_A3
from tests.helpers.potentials import copper, copper_gold, emt, lennard_jones

SETTINGS = RelaxSettings(fmax=0.005, stress_gpa=0.02, max_steps=400)


def ase_relaxed(crystal: Crystal, potential: Potential, optimizer: Any, pressure: float = 0.0) -> tuple[float, Any]:
    """Enthalpy per atom in eV and the atoms after ASE's relaxation of positions and cell."""
    atoms = crystal.to_ase()
    atoms.calc = PotentialCalculator(potential)
    # the filter's forces are cell gradients over N: tighter than our limits on force and stress
    optimizer(FrechetCellFilter(atoms, scalar_pressure=pressure), logfile=None).run(fmax=0.001, steps=800)
    return (atoms.get_potential_energy() + pressure * atoms.get_volume()) / len(atoms), atoms


@pytest.mark.parametrize("optimizer", ["lbfgs", "fire"])
@pytest.mark.parametrize("start", [copper(0), copper(1, n=2), copper_gold(2), copper(3, n=3)])
def test_final_energy_and_volume_agree_with_ase(start: Crystal, optimizer: str) -> None:
    energy, atoms = ase_relaxed(start, emt(), LBFGS)
    ours = relax([start], emt(), SETTINGS.model_copy(update={"optimizer": optimizer}))[0]
    assert ours.status == "converged"
    assert ours.energy_per_atom == pytest.approx(energy, abs=1e-4)
    assert ours.crystal.volume == pytest.approx(atoms.get_volume(), rel=2e-3)


def test_under_pressure_the_enthalpy_agrees_with_ase() -> None:
    pressure = 15.0 / GPA_PER_EV_A3
    start = copper_gold(4)
    enthalpy, _ = ase_relaxed(start, emt(), LBFGS, pressure)
    ours = relax([start], emt(), SETTINGS.model_copy(update={"pressure_gpa": 15.0}))[0]
    assert ours.energy_per_atom is not None
    assert ours.energy_per_atom + pressure * ours.crystal.volume / 4 == pytest.approx(enthalpy, abs=1e-4)


def test_fire_walks_the_same_path_as_ases_fire_step_by_step() -> None:
    """ASE's constants and coordinates; its log strain also turns a little, so the cells' metrics are compared."""
    start, path = copper_gold(0), []
    settings = RelaxSettings(optimizer="fire", max_steps=20, fmax=1e-9)
    relax([start], emt(), settings, observer=lambda _i, _k, c, r: path.append((c.lattice, r.energy)))
    atoms = start.to_ase()
    atoms.calc = PotentialCalculator(emt())
    walk = FIRE(FrechetCellFilter(atoms, exp_cell_factor=np.sqrt(len(atoms))), logfile=None)
    theirs = []
    for _ in walk.irun(fmax=1e-9, steps=20):
        theirs.append((atoms.cell.array.copy(), atoms.get_potential_energy()))
    for (lattice, energy), (lattice_ase, energy_ase) in zip(path, theirs, strict=True):
        np.testing.assert_allclose(lattice @ lattice.T, lattice_ase @ lattice_ase.T, atol=1e-4)
        assert energy == pytest.approx(energy_ase, abs=1e-5)
    assert path[0][1] - path[-1][1] > 0.1  # it went somewhere


def test_many_crystals_need_no_more_evaluations_than_ase() -> None:
    """Six rattled cells of 2 to 6 atoms: mean evaluations of our L-BFGS at most those of ASE's, same energies."""
    potential, ours_n, ase_n = emt(), 0, 0
    starts = [copper(seed, n=2 + seed % 5) for seed in range(6)]
    settings = RelaxSettings(fmax=0.02, stress_gpa=0.05)
    for start, ours in zip(starts, relax(starts, potential, settings), strict=True):
        atoms = start.to_ase()
        atoms.calc = PotentialCalculator(potential)
        walk = LBFGS(FrechetCellFilter(atoms), logfile=None)
        limit = 0.05 / GPA_PER_EV_A3
        for _ in walk.irun(fmax=0.0, steps=300):
            if np.abs(atoms.get_forces()).max() < 0.02 and np.abs(atoms.get_stress()).max() < limit:
                break
        ase_n += walk.nsteps + 1
        ours_n += ours.n_steps + 1
        assert ours.energy_per_atom is not None
        assert ours.energy_per_atom <= atoms.get_potential_energy() / len(atoms) + 1e-3
    assert ours_n <= ase_n


def test_lennard_jones_salt_agrees_with_ase() -> None:
    start = copper_gold(7)
    energy, _ = ase_relaxed(start, lennard_jones(), FIRE)
    ours = relax([start], lennard_jones(), SETTINGS)[0]
    assert ours.energy_per_atom == pytest.approx(energy, abs=2e-4)


def test_chgnet_relaxes_rock_salt_to_where_ase_and_chgnets_own_calculator_take_it() -> None:
    pytest.importorskip("chgnet", reason="the extra chgnet is not installed")
    from chgnet.model.dynamics import CHGNetCalculator

    from dao_core.energy.adapters.chgnet import ChgnetPotential

    rng = np.random.default_rng(0)
    start = Crystal(
        5.9 * np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]) + rng.normal(0, 0.05, (3, 3)),
        [[0.0, 0.0, 0.0], [0.52, 0.49, 0.5]],
        [11, 17],
    )
    atoms = start.to_ase()
    atoms.calc = CHGNetCalculator(use_device="cpu", verbose=False)
    LBFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.01, steps=150)
    ours = relax([start], ChgnetPotential(), RelaxSettings(fmax=0.01, stress_gpa=0.05))[0]
    assert ours.status == "converged"
    assert ours.energy_per_atom == pytest.approx(atoms.get_potential_energy() / 2, abs=1e-3)
    assert ours.crystal.volume == pytest.approx(atoms.get_volume(), rel=5e-3)
