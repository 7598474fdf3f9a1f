"""Errors in one line: the user's mistakes with their remedy, faults of the program by their kind."""

from __future__ import annotations

import pytest

from dao_core.artifacts import ArtifactError
from flows.cli.errors import fail
from tasks.error_line import explain, in_one_line


def test_faults_of_the_program_are_not_disguised() -> None:
    assert explain(ZeroDivisionError("x")) is None
    assert explain(ArtifactError("free space")) == "free space"
    missing = FileNotFoundError(2, "No such file or directory", "a.yaml")
    assert explain(missing) == "No such file or directory: a.yaml"
    assert "no space left" in str(explain(OSError(28, "No space left on device", "x")))
    assert explain(OSError(5, "Input/output error")) is None
    assert explain(FileNotFoundError("no folder of results")) == "no folder of results"


def test_wrong_settings_name_the_key() -> None:
    from pydantic import ValidationError

    from dao_core.energy.relaxation.relax import RelaxSettings

    with pytest.raises(ValidationError) as unknown:
        RelaxSettings(fmx=1)  # type: ignore[call-arg]
    assert explain(unknown.value) == "settings: unknown key 'fmx': remove it or correct its spelling"
    with pytest.raises(ValidationError) as wrong:
        RelaxSettings(fmax=-1)
    assert explain(wrong.value) == "settings: fmax: Input should be greater than 0, got -1"


def test_what_ends_a_command_is_one_line() -> None:
    with pytest.raises(SystemExit) as stop:
        fail("a mistake\n  of two lines")
    assert in_one_line(stop.value) == "a mistake of two lines"
    assert in_one_line(SystemExit(1)) is None
    assert in_one_line(KeyboardInterrupt()) == "stopped by KeyboardInterrupt"
    assert in_one_line(ZeroDivisionError("by\nzero")) == "ZeroDivisionError: by zero"
