from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal, crystal_from_symbols
from dao_core.energy.potential import PotentialFailure, PotentialResult

pytest.importorskip("chgnet", reason="the extra chgnet is not installed")

from dao_core.energy.adapters.chgnet import ChgnetPotential


@pytest.fixture(scope="module")
def potential() -> ChgnetPotential:
    return ChgnetPotential()


def salt(shift: float = 0.02) -> Crystal:
    half = 2.82
    return crystal_from_symbols(
        [[0, half, half], [half, 0, half], [half, half, 0]], ["Na", "Cl"], [[0, 0, 0], [0.5 + shift, 0.5, 0.5]]
    )


def silicon() -> Crystal:
    half = 2.73
    return crystal_from_symbols(
        [[0, half, half], [half, 0, half], [half, half, 0]], ["Si", "Si"], [[0, 0, 0], [0.26, 0.25, 0.24]]
    )


def test_identity_names_model_and_weights(potential: ChgnetPotential) -> None:
    assert potential.identity.startswith("CHGNet-0.3.0+")
    assert len(potential.identity.split("+")[1]) == 12


def test_values_agree_with_chgnets_own_ase_calculator(potential: ChgnetPotential) -> None:
    from chgnet.model.dynamics import CHGNetCalculator

    atoms = salt().to_ase()
    atoms.calc = CHGNetCalculator(use_device="cpu", verbose=False)
    result = potential.compute([salt()])[0]
    assert isinstance(result, PotentialResult)
    assert result.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
    np.testing.assert_allclose(result.forces, atoms.get_forces(), atol=1e-5)
    np.testing.assert_allclose(result.stress, atoms.get_stress(voigt=False), atol=1e-6)


def test_a_crystal_has_the_same_bits_alone_and_among_others(potential: ChgnetPotential) -> None:
    alone = potential.compute([salt()])[0]
    among = potential.compute([silicon(), salt(), silicon()])[1]
    assert isinstance(alone, PotentialResult)
    assert isinstance(among, PotentialResult)
    assert alone.energy == among.energy
    np.testing.assert_array_equal(alone.forces, among.forces)


def test_network_batches_give_the_same_values_in_the_same_order() -> None:
    single, batched = ChgnetPotential(batch_size=1), ChgnetPotential(batch_size=3)
    crystals = [salt(), silicon(), salt(0.04), silicon()]
    for a, b in zip(single.compute(crystals), batched.compute(crystals), strict=True):
        assert isinstance(a, PotentialResult)
        assert isinstance(b, PotentialResult)
        assert a.energy == pytest.approx(b.energy, abs=2e-5)
        np.testing.assert_allclose(a.forces, b.forces, atol=2e-5)


def test_bad_crystals_fail_by_name_and_the_others_are_answered(potential: ChgnetPotential) -> None:
    einsteinium = salt().replace(atomic_numbers=[99, 17])
    alone_in_space = crystal_from_symbols(np.eye(3) * 9.0, ["Na"], [[0, 0, 0]])
    crushed = salt().replace(lattice=salt().lattice * 0.45)
    outcomes = potential.compute([einsteinium, alone_in_space, crushed, salt()])
    for outcome, said in zip(outcomes, ("Z = 94", "isolated", "denser"), strict=False):
        assert isinstance(outcome, PotentialFailure)
        assert said in outcome.reason
    assert isinstance(outcomes[3], PotentialResult)
