from __future__ import annotations

import numpy as np
import pytest
import torch

from dao_core.crystal import Crystal, crystal_from_symbols
from dao_core.energy.potential import PotentialFailure, PotentialResult

pytest.importorskip("sevenn", reason="sevenn is not installed")

from dao_core.energy.adapters.sevennet import SevenNetPotential


@pytest.fixture(scope="module")
def potential() -> SevenNetPotential:
    return SevenNetPotential("7net-0")


def sheared_salt() -> Crystal:
    lattice = [[0.1, 2.8, 2.8], [2.8, 0.0, 2.9], [2.7, 2.8, 0.2]]
    return crystal_from_symbols(lattice, ["Na", "Cl"], [[0, 0, 0], [0.52, 0.49, 0.5]])


def test_values_agree_with_its_own_ase_calculator(potential: SevenNetPotential) -> None:
    from sevenn.calculator import SevenNetCalculator

    atoms = sheared_salt().to_ase()
    atoms.calc = SevenNetCalculator("7net-0", device="cpu")
    result = potential.compute([sheared_salt()])[0]
    assert isinstance(result, PotentialResult)
    assert result.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
    np.testing.assert_allclose(result.forces, atoms.get_forces(), atol=1e-5)
    np.testing.assert_allclose(result.stress, atoms.get_stress(voigt=False), atol=1e-6)


def test_stress_is_the_derivative_of_the_energy(potential: SevenNetPotential) -> None:
    """Every component against a finite difference: the order of the six numbers is the trap."""
    crystal, step = sheared_salt(), 1e-2
    result = potential.compute([crystal])[0]
    assert isinstance(result, PotentialResult)
    for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += 0.5 * sign * step
            strain[j, i] += 0.5 * sign * step
            moved = potential.compute([crystal.replace(lattice=crystal.lattice @ strain)])[0]
            assert isinstance(moved, PotentialResult)
            energies.append(moved.energy)
        slope = (energies[0] - energies[1]) / (2 * step) / crystal.volume
        assert result.stress[i, j] == pytest.approx(slope, abs=3e-4), (i, j)


def test_a_crystal_has_the_same_bits_alone_and_among_others(potential: SevenNetPotential) -> None:
    other = sheared_salt().replace(atomic_numbers=np.array([12, 8]))
    alone = potential.compute([sheared_salt()])[0]
    among = potential.compute([other, sheared_salt(), other])[1]
    assert isinstance(alone, PotentialResult)
    assert isinstance(among, PotentialResult)
    assert alone.energy == among.energy
    np.testing.assert_array_equal(alone.forces, among.forces)


def test_what_it_cannot_compute_fails_alone_with_the_reason(potential: SevenNetPotential) -> None:
    salt = sheared_salt()
    unknown = salt.replace(atomic_numbers=np.array([100, 17]))
    lonely = Crystal(np.eye(3) * 9.9, np.zeros((1, 3)), np.array([18]))
    dense = salt.replace(lattice=salt.lattice * 0.4)
    outcomes = potential.compute([unknown, lonely, dense, salt])
    reasons = [o.reason for o in outcomes[:3] if isinstance(o, PotentialFailure)]
    assert len(reasons) == 3
    assert "Fm" in reasons[0]
    assert "no neighbours" in reasons[1]
    assert "denser" in reasons[2]
    assert isinstance(outcomes[3], PotentialResult)


def test_identity_names_model_and_weights(potential: SevenNetPotential) -> None:
    assert potential.identity.startswith("SevenNet-0+")


def test_another_default_dtype_of_torch_changes_nothing(potential: SevenNetPotential) -> None:
    expected = potential.compute([sheared_salt()])[0]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        fresh = SevenNetPotential("7net-0")
        found = fresh.compute([sheared_salt()])[0]
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(before)
    assert fresh.identity == potential.identity
    assert isinstance(expected, PotentialResult)
    assert isinstance(found, PotentialResult)
    assert found.energy == pytest.approx(expected.energy, abs=1e-6)


def test_both_functionals_agree_with_its_own_ase_calculator(potential: SevenNetPotential) -> None:
    from sevenn.calculator import SevenNetCalculator

    energies = {}
    for functional in ("PBE", "R2SCAN"):
        atoms = sheared_salt().to_ase()
        atoms.calc = SevenNetCalculator("7net-mf-0", modal=functional, device="cpu")
        energies[functional] = atoms.get_potential_energy() / len(atoms)
    (shift,) = potential.r2scan_shifts([sheared_salt()])
    assert shift == pytest.approx(energies["R2SCAN"] - energies["PBE"], abs=1e-5)
    unknown = sheared_salt().replace(atomic_numbers=np.array([100, 17]))
    assert potential.r2scan_shifts([unknown]) == [None]


def test_a_functional_that_a_model_has_not_learned_is_refused() -> None:
    with pytest.raises(ValueError, match="'SCAN' of 7net-mf-0: PBE or R2SCAN"):
        SevenNetPotential("7net-mf-0", functional="SCAN")
    with pytest.raises(ValueError, match="name none"):
        SevenNetPotential("7net-0", functional="PBE")
    pbe = SevenNetPotential("7net-mf-0", functional="PBE")
    assert pbe.identity != pbe.in_functional("R2SCAN").identity
