"""Reading a source to its end in tests, and comparing what came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal, Source, SourceInterrupted, SourceItem


def plain(item: SourceItem) -> tuple[Any, ...]:
    """A row as something that `==` compares whole."""
    value = item.value
    if isinstance(value, Refusal):
        return (value.row, value.reason)
    fields = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(value).items()}
    return tuple(sorted(fields.items(), key=lambda pair: pair[0]))


def records(items: list[SourceItem]) -> dict[str, CrysRecord]:
    return {item.record.material_id: item.record for item in items if item.record}


def refusals(items: list[SourceItem]) -> dict[str, str]:
    return {item.refusal.row: item.refusal.reason for item in items if item.refusal}


def read_through_interruptions(make: Callable[[], Source], limit: int = 20) -> tuple[list[SourceItem], int]:
    """All rows, continuing with a new source object from the cursor of each interruption; and how many there were."""
    items: list[SourceItem] = []
    cursor: str | None = None
    for interruptions in range(limit):
        try:
            for item in make().iter_records(None, cursor):
                items.append(item)
                cursor = item.cursor
        except SourceInterrupted as error:
            if error.cursor != cursor:
                raise AssertionError(f"interrupted with {error.cursor}, the last row had {cursor}") from error
            continue
        return items, interruptions
    raise AssertionError(f"still interrupted after {limit} attempts")
