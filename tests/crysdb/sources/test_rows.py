"""The suspicion with which foreign rows are read."""

from __future__ import annotations

import math

import pytest

from dao_core.crysdb.sources.base import SourceError
from dao_core.crysdb.sources.rows import (
    RowError,
    SeenRows,
    as_number,
    number,
    read_cursor,
    reason_of,
    required,
    write_cursor,
)


def test_number_tells_absent_from_unknown() -> None:
    assert number({"e": None}, "e") is None
    assert number({"e": 3}, "e") == 3.0
    with pytest.raises(RowError, match="field e is missing"):
        number({}, "e")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1.0", True, [1.0]])
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(RowError, match="field e is"):
        as_number(value, "e")


def test_required_names_the_field() -> None:
    with pytest.raises(RowError, match="field lattice is missing"):
        required({"lattice": None}, "lattice")


def test_reason_of_an_unexpected_value_names_its_kind() -> None:
    assert reason_of(RowError("too short")) == "too short"
    assert reason_of(KeyError("a")).startswith("unexpected value: KeyError")


def test_a_full_page_of_known_rows_is_a_repeated_page_and_a_short_one_is_not() -> None:
    seen = SeenRows()
    assert seen.add("a")
    assert not seen.add("a")
    seen.check_page(["a"], full=False, where="here")
    seen.check_page(["a", "b"], full=True, where="here")
    seen.check_page([], full=True, where="here")
    with pytest.raises(SourceError, match="here: the server repeats a page"):
        seen.check_page(["a", None, "a"], full=True, where="here")


def test_cursor_round_trip() -> None:
    assert read_cursor(None, "a") is None
    assert read_cursor(write_cursor(b=1, a="x"), "a", "b") == {"a": "x", "b": 1}
    with pytest.raises(SourceError, match="no cursor of this source"):
        read_cursor(write_cursor(a=1), "a", "b")
