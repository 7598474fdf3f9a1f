"""CSV tables: one row a structure, with a CIF column or lists in the structure's columns."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from io import StringIO
from typing import Any

from dao_core.readers.base import UnreadableError

LAST = "the last line has no end, so its last value may be cut: add a line break if the file is whole"


def read_csv(text: str) -> Iterator[dict[str, Any] | str]:
    """Rows by column name, or the reason why a row is none. Lists in brackets are unpacked, other values stay text.

    Args:
        text: A CSV text; commas, semicolons or tabs separate its columns.

    Raises:
        UnreadableError: The header is unreadable, or names a column twice.
    """
    text = re.sub(r"\A(?: *\n)+", "", text)
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    separator = max(",;\t", key=text.partition("\n")[0].count)
    rows = csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = next(rows, [])
    except csv.Error as error:
        raise UnreadableError(f"the header is unreadable ({error}): correct its quotes") from error
    names = [name.strip() for name in header]
    repeated = sorted({n for n in names if names.count(n) > 1})
    if repeated:
        raise UnreadableError(f"the header names {', '.join(map(repr, repeated))} twice: rename one")
    open_end = bool(text) and not text.endswith("\n")
    held: dict[str, Any] | str | None = None
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            if held is not None:
                yield held
            yield f"unreadable from line {rows.line_num} on ({error}): the file may be cut"
            return
        if row is None:
            break
        if held is not None:
            yield held
        held = _row(names, row) if row else None
    if held is not None:
        yield LAST if open_end and _may_be_cut(text) else held


def _may_be_cut(text: str) -> bool:
    """Whether a last value without a line's end may have been longer; a closing quote or bracket says no."""
    return text.rstrip()[-1:] not in ('"', "]")


def _row(names: list[str], row: list[str]) -> dict[str, Any] | str:
    if len(row) != len(names):
        return f"{len(row)} values for {len(names)} columns"
    try:
        return {name: _value(value) for name, value in zip(names, row, strict=True)}
    except ValueError as error:
        return f"unreadable list: {error}"


def _value(text: str) -> Any:
    stripped = text.strip()
    return json.loads(stripped) if stripped.startswith("[") else text
