"""One line for wrong settings, which shows neither secrets nor endless values."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from dao_core.settings_error import SettingsError, checked_settings, explain_settings


class _Oven(BaseModel):
    model_config = ConfigDict(extra="forbid")

    temperature: float = 300.0
    api_key: int = 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"temperatur": 5},
            "settings: unknown key 'temperatur': do you mean 'temperature'?; there are api_key, temperature",
        ),
        ({"q": 5}, "settings: unknown key 'q': remove it or correct its spelling; there are api_key, temperature"),
        ({"temperature": "hot", "q": 1}, "unable to parse string as a number, got 'hot' (and 1 more)"),
    ],
)
def test_the_setting_is_named_with_what_may_be(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        checked_settings(_Oven, values)
    assert message in str(error.value)


def test_a_secret_is_not_shown() -> None:
    for values in ({"api_key": "planted"}, {"temperature": {"token": "planted"}}):
        with pytest.raises(SettingsError, match="hidden") as error:
            checked_settings(_Oven, values)
        assert "planted" not in str(error.value)


def test_a_value_that_contains_itself_or_is_huge_is_shortened() -> None:
    endless: list[object] = []
    endless.append(endless)
    wide = {"a": [[0] * 100] * 100}
    for _ in range(20):
        wide = {"a": [wide] * 100}
    for value in (endless, wide, "x" * 10_000, [1] * 10_000):
        with pytest.raises(ValidationError) as error:
            _Oven.model_validate({"temperature": value})
        assert len(explain_settings(error.value)) < 500
