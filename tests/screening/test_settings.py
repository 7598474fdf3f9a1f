"""Settings of a search that would be taken for something else, or not at all, are refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dao_core.energy.relaxation.settings import RelaxSettings
from dao_core.screening.settings import JudgeSettings, SearchSettings
from dao_core.settings_error import explain_settings


@pytest.mark.parametrize("change", [{"relax": {"pressure_gpa": 60}}, {"judge": {"relax": {"pressure_gpa": 60}}}])
def test_a_search_under_pressure_is_refused_with_the_way_to_do_it(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as error:
        SearchSettings.model_validate(change)
    line = explain_settings(error.value)
    assert line.startswith(f"settings: {next(iter(change))}: ")
    assert "dao screen --pressure 60" in line
    assert "dao study pressure" in line
    assert "\n" not in line


@pytest.mark.parametrize("part", ["relax", "judge"])
@pytest.mark.parametrize("whole", [True, False])
def test_symmetry_is_kept_by_all_relaxations_of_a_search_or_by_none(part: str, whole: bool) -> None:
    own = {"keep_symmetry": not whole}
    with pytest.raises(ValidationError, match="set keep_symmetry of the search itself"):
        SearchSettings.model_validate({"keep_symmetry": whole, part: own if part == "relax" else {"relax": own}})


def test_what_is_not_said_of_a_relaxation_is_as_in_the_search_and_survives_being_written_down() -> None:
    plain, free = SearchSettings(), SearchSettings(keep_symmetry=False, relax=RelaxSettings(max_steps=3))
    assert plain.relax.keep_symmetry
    assert plain.judge.relax.keep_symmetry
    assert not free.relax.keep_symmetry
    assert not free.judge.relax.keep_symmetry
    assert (free.relax.max_steps, free.judge) == (3, JudgeSettings())
    for settings in (plain, free):
        assert SearchSettings.model_validate(settings.model_dump(mode="json")) == settings
