"""Reading single rows of remote sources with suspicion, and noticing pages that come again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from dao_core.crysdb.sources.base import SourceError
from dao_core.crystal import InvalidCrystalError
from dao_core.elements import UnknownElementError

DUPLICATE = "duplicate: this source gave the same id before"


class RowError(ValueError):
    """A row that can't be taken; the message becomes the reason of its Refusal."""


# What building a record from a foreign row may raise: our own checks, and values of an unexpected shape.
ROW_ERRORS = (RowError, InvalidCrystalError, UnknownElementError, ValueError, TypeError, KeyError, IndexError)


def reason_of(error: Exception) -> str:
    """The reason of a Refusal, for any of ROW_ERRORS."""
    if isinstance(error, RowError | InvalidCrystalError | UnknownElementError):
        return str(error)
    return f"unexpected value: {type(error).__name__}: {str(error)[:200]}"


def required(row: dict[str, Any], name: str) -> Any:
    """The value of a field that a row must have. Raises RowError naming it."""
    if row.get(name) is None:
        raise RowError(f"field {name} is missing")
    return row[name]


def number(row: dict[str, Any], name: str) -> float | None:
    """A number or None where the source has none. Raises RowError where the field is absent, no number, or NaN."""
    if name not in row:
        raise RowError(f"field {name} is missing")
    return as_number(row[name], name)


def as_number(value: Any, name: str) -> float | None:
    """`value` as a finite number, None stays None. Raises RowError naming the field."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RowError(f"field {name} is {str(value)[:40]!r}, not a number")
    if not math.isfinite(value):
        raise RowError(f"field {name} is {value}")
    return float(value)


class SeenRows:
    """The ids that a source gave so far: tells a duplicate row from a page that the server repeats."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def check_page(self, ids: Iterable[str | None], *, full: bool, where: str) -> None:
        """Raises SourceError where a full page brings nothing new: going on would loop or lose rows."""
        known = [name in self._ids for name in ids if name]
        if full and known and all(known):
            raise SourceError(
                f"{where}: the server repeats a page ({len(known)} rows, all given before). Continue from the last "
                "cursor later; if it stays so, use another page size or the database's dump"
            )

    def add(self, name: str) -> bool:
        """True for a new id."""
        if name in self._ids:
            return False
        self._ids.add(name)
        return True


def write_cursor(**position: Any) -> str:
    """A cursor as compact JSON."""
    return json.dumps(position, separators=(",", ":"), sort_keys=True)


def read_cursor(cursor: str | None, *names: str) -> dict[str, Any] | None:
    """The place a cursor stands for, None at the start. Raises SourceError where it isn't one of this source."""
    if cursor is None:
        return None
    try:
        position = json.loads(cursor)
    except ValueError:
        position = None
    if not isinstance(position, dict) or set(position) != set(names):
        raise SourceError(f"{cursor[:80]!r} is no cursor of this source; start without one")
    return position
