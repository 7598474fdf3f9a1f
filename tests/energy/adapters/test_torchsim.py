from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch_sim as ts
from ase.calculators.emt import EMT
from torch_sim.models.interface import ModelInterface

from dao_core.crystal import Crystal
from dao_core.energy.adapters.torchsim import TorchSimPotential
from dao_core.energy.potential import PotentialFailure, PotentialResult
from dao_core.energy.relaxation.relax import RelaxSettings, relax
from tests.helpers.potentials import copper, emt


class EmtModel(ModelInterface):
    """ASE's EMT behind torch-sim's own interface and its own reading of a state."""

    def __init__(self, *, compute_stress: bool = True) -> None:
        super().__init__()
        self._device, self._dtype = torch.device("cpu"), torch.float64
        self._compute_forces, self._compute_stress = True, compute_stress

    def forward(self, state: Any, **_: Any) -> dict[str, torch.Tensor]:
        if isinstance(state, dict):
            state = ts.SimState(**state, masses=torch.ones_like(state["positions"][:, 0]))
        found: dict[str, list[Any]] = {"energy": [], "forces": [], "stress": []}
        for atoms in ts.io.state_to_atoms(state):
            atoms.calc = EMT()
            found["energy"].append(atoms.get_potential_energy())
            found["forces"].extend(atoms.get_forces())
            found["stress"].append(atoms.get_stress(voigt=False))
        if not self._compute_stress:
            del found["stress"]
        return {k: torch.as_tensor(np.array(v)) for k, v in found.items()}


def crystals() -> list[Crystal]:
    skewed = copper().lattice @ np.array([[1, 0.05, 0], [0, 1, 0.02], [0.01, 0, 1]])
    shifted = copper().frac_coords + np.linspace(0, 0.05, copper().n_atoms)[:, None]
    return [copper(), copper().replace(lattice=skewed, frac_coords=shifted), copper().niggli()]


@pytest.mark.parametrize("max_atoms", [1, 6, 512])
def test_a_batch_gives_what_the_calculator_gives_alone(max_atoms: int) -> None:
    together = TorchSimPotential(EmtModel(), "emt", max_atoms=max_atoms).compute(crystals())
    for found, expected in zip(together, emt().compute(crystals()), strict=True):
        assert isinstance(found, PotentialResult)
        assert isinstance(expected, PotentialResult)
        assert found.energy == pytest.approx(expected.energy, abs=1e-9)
        np.testing.assert_allclose(found.forces, expected.forces, atol=1e-9)
        np.testing.assert_allclose(found.stress, expected.stress, atol=1e-9)


def test_it_relaxes_to_where_the_calculator_relaxes() -> None:
    start, settings = [copper().replace(lattice=copper().lattice * 1.04)], RelaxSettings(fmax=0.01)
    ours, theirs = (relax(start, p, settings)[0] for p in (TorchSimPotential(EmtModel(), "emt"), emt()))
    assert str(ours.status) == "converged"
    np.testing.assert_allclose(ours.crystal.lattice, theirs.crystal.lattice, atol=1e-6)


def test_a_crystal_that_makes_the_model_raise_fails_alone() -> None:
    uranium = copper().replace(atomic_numbers=[92] * copper().n_atoms)
    good, bad, other = TorchSimPotential(EmtModel(), "emt").compute([copper(), uranium, copper()])
    assert isinstance(good, PotentialResult)
    assert isinstance(other, PotentialResult)
    assert isinstance(bad, PotentialFailure)
    assert "No EMT-potential for U" in bad.reason


def test_a_model_without_stress_is_named() -> None:
    found = TorchSimPotential(EmtModel(compute_stress=False), "emt").compute([copper()])[0]
    assert isinstance(found, PotentialFailure)
    assert "compute_stress=True" in found.reason
