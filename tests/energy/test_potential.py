from __future__ import annotations

import numpy as np
import pytest

from dao_core.energy.adapters.dispersion import DispersionPotential
from dao_core.energy.potential import PotentialFailure, PotentialResult, checked, label_of
from dao_core.energy.predictor import DaoPotential
from dao_core.hull.label import EnergyLabel
from tests.helpers.potentials import Scripted, constant, copper, emt


def test_a_sound_result_passes_unchanged() -> None:
    crystal = copper()
    outcome = emt().compute([crystal])[0]
    assert checked(outcome, crystal) is outcome


@pytest.mark.parametrize("name", ["energy", "forces", "stress"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_or_infinity_becomes_a_failure_that_names_the_array(name: str, bad: float) -> None:
    crystal = copper()
    parts = {"energy": -1.0, "forces": np.zeros((4, 3)), "stress": np.zeros((3, 3))}
    if name == "energy":
        parts[name] = bad
    else:
        parts[name][0, 0] = bad  # type: ignore[index]
    outcome = checked(PotentialResult(**parts), crystal)  # type: ignore[arg-type]
    assert isinstance(outcome, PotentialFailure)
    assert name in outcome.reason


def test_wrong_shapes_become_a_failure() -> None:
    outcome = checked(PotentialResult(0.0, np.zeros((3, 3)), np.zeros((3, 3))), copper())
    assert isinstance(outcome, PotentialFailure)
    assert "misshapen" in outcome.reason


def test_a_potential_s_energies_are_labelled() -> None:
    assert label_of(emt()) == EnergyLabel("EMT", "total")
    assert label_of(DispersionPotential(emt())) == EnergyLabel("PBE-D3(BJ)+EMT", "total")
    shipped = DaoPotential.load()
    assert label_of(shipped) == EnergyLabel(shipped.identity, "formation")
    assert label_of(Scripted(constant())) == EnergyLabel("scripted")  # says nothing of its own
