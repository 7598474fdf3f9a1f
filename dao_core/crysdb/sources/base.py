"""The protocol that every source of CrysDB follows, and what it hands over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dao_core.crysdb.schema import CrysRecord
from dao_core.readers.base import Refusal


class SourceError(RuntimeError):
    """The source as a whole cannot be read (file truncated, server gone); the message names the remedy."""


class SourceInterrupted(SourceError):
    """The source died midway but can be continued: pass `cursor` (None: nothing was read yet) to `iter_records`."""

    def __init__(self, message: str, cursor: str | None) -> None:
        super().__init__(message)
        self.cursor = cursor


@dataclass(frozen=True)
class SourceItem:
    """One row of a source with the cursor *after* it: passing that cursor back continues with the next row.

    `notes` say what was understood rather than read (deuterium, a rounded position), or left aside.
    """

    value: CrysRecord | Refusal
    cursor: str
    notes: tuple[str, ...] = ()

    @property
    def record(self) -> CrysRecord | None:
        """The row, None where it was refused."""
        return self.value if isinstance(self.value, CrysRecord) else None

    @property
    def refusal(self) -> Refusal | None:
        """Why the row was refused, None where it was taken."""
        return self.value if isinstance(self.value, Refusal) else None


@runtime_checkable
class Source(Protocol):
    """Anything that yields rows; `name` and `functional` say which hull their energies belong to."""

    @property
    def name(self) -> str:
        """Such as "materials_project"."""
        ...

    @property
    def functional(self) -> str:
        """What made its energies, such as "GGA_GGA+U"."""
        ...

    @property
    def version(self) -> str | None:
        """The frozen release, None where the source has none."""
        ...

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:
        """Every row once, in an order that a cursor can continue; a bad row is a Refusal and the others follow.

        Args:
            since: ISO 8601; only rows changed after it, where the source can say.
            cursor: That of the last item of an earlier reading: continue behind it.

        Raises:
            SourceError: The source as a whole fails.
        """
        ...
