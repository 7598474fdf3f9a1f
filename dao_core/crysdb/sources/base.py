"""The protocol that every source of CrysDB follows, and what it hands over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dao_core.crysdb.schema import CrysRecord


class SourceError(RuntimeError):
    """The source as a whole cannot be read (file truncated, server gone); the message names the remedy."""


class SourceInterrupted(SourceError):
    """The source died midway but can be continued: pass `cursor` (None: nothing was read yet) to `iter_records`."""

    def __init__(self, message: str, cursor: str | None) -> None:
        super().__init__(message)
        self.cursor = cursor


@dataclass(frozen=True)
class Refusal:
    """A row that was not taken: which one (file and row, or id) and why. It is counted, never silently lost."""

    row: str
    reason: str


@dataclass(frozen=True)
class SourceItem:
    """One row of a source with the cursor *after* it: passing that cursor back continues with the next row."""

    value: CrysRecord | Refusal
    cursor: str

    @property
    def record(self) -> CrysRecord | None:
        return self.value if isinstance(self.value, CrysRecord) else None

    @property
    def refusal(self) -> Refusal | None:
        return self.value if isinstance(self.value, Refusal) else None


@runtime_checkable
class Source(Protocol):
    """Anything that yields rows.

    `name` and `functional` identify the hull that the energies belong to ("materials_project", "GGA_GGA+U");
    `version` is the frozen release, or None where the source has none. `iter_records` yields every row once, in an
    order that a cursor can continue; `since` (ISO 8601) asks for rows changed after it, where the source can say.
    Raises SourceError when the source as a whole fails; a bad row is a Refusal and the iteration goes on.
    """

    @property
    def name(self) -> str: ...

    @property
    def functional(self) -> str: ...

    @property
    def version(self) -> str | None: ...

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]: ...
