from __future__ import annotations

import pytest
from pydantic import ValidationError

from dao_core.energy.relaxation.settings import RelaxationStatus, RelaxSettings


@pytest.mark.parametrize("bad", [{"fmax": 0.0}, {"max_volume_ratio": 1.0}, {"batch_size": 0}, {"optimizer": "bfgs"}])
def test_settings_without_sense_are_refused_by_name(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(bad))):
        RelaxSettings.model_validate(bad)


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="maxstep"):
        RelaxSettings.model_validate({"maxstep": 0.1})


def test_statuses_are_their_names_in_files() -> None:
    assert [str(s) for s in RelaxationStatus] == [
        "converged",
        "max_steps",
        "rejected_volume",
        "rejected_distance",
        "rejected_energy",
        "rejected_domain",
        "potential_failed",
        "time_up",
    ]


def test_a_pressure_on_a_cell_that_is_kept_is_refused() -> None:
    with pytest.raises(ValidationError, match="a pressure has no effect on a cell that is kept"):
        RelaxSettings(relax_cell=False, pressure_gpa=50.0)
    assert not RelaxSettings(relax_cell=False).relax_cell
