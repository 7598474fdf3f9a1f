"""Validation: the judge's own relaxation and label; what it rejects has no energy; pw.x behind a setting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.dft import validate
from dao_core.dft.validate import ValidationResult
from dao_core.energy.potential import PotentialFailure
from dao_core.hull.label import EnergyLabel
from dao_core.studies.loop.settings import LoopSettings
from dao_core.studies.loop.validation import judge_validator, load_validator
from tests.helpers.potentials import Scripted, copper, emt


def test_the_judge_relaxes_and_its_energy_is_that_of_the_relaxed_structure() -> None:
    judge = emt()
    validator = judge_validator(judge, 40)
    result = validator.validate([copper()])[0]
    assert result is not None
    crystal, energy = result
    assert energy == pytest.approx(judge.compute([crystal])[0].energy / crystal.n_atoms, abs=1e-6)
    assert energy < judge.compute([copper()])[0].energy / 4
    assert validator.label == EnergyLabel(judge.identity)
    assert validator.validate([]) == []


def test_what_the_judge_cannot_compute_has_no_energy() -> None:
    validator = judge_validator(Scripted(lambda *_: PotentialFailure("no")), 3)
    assert validator.validate([copper()]) == [None]


def test_first_principles_are_asked_where_the_settings_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(crystal: Crystal, run: object) -> ValidationResult:  # noqa: ARG001
        if crystal.n_atoms > 4:
            return ValidationResult("Cu", "code_failed", "", crystal)
        return ValidationResult("Cu", "validated", "", crystal, crystal=crystal, energy_per_atom=-7.0)

    monkeypatch.setattr(validate, "validate_crystal", answer)
    monkeypatch.setattr("dao_core.dft.pseudo.library.find_library", lambda _: None)
    monkeypatch.setattr("dao_core.dft.session.functional_label", lambda *_: "PBE, fast")
    validator = load_validator(LoopSettings(validator="qe"), tmp_path)
    small, large = copper(), copper(n=5)
    first, second = validator.validate([small, large])
    assert first is not None
    assert first[1] == -7.0
    np.testing.assert_array_equal(first[0].lattice, small.lattice)
    assert second is None
    assert validator.label == EnergyLabel("PBE, fast")
