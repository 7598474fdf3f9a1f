"""What every reader gives: rows with a name, a structure or the reason why there is none, and what stood beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from dao_core.crystal import Crystal

MIN_DISTANCE = 0.5  # angstrom; closer atoms are one rounded position, or a disordered one
HELD = "selective dynamics are left aside"  # what every reader notes of atoms that a file holds in their places


class UnreadableError(ValueError):
    """A file or text that holds no structure, or one that contradicts itself; the message says why and what to do."""


class ReadingNote(UserWarning):
    """What was understood rather than read in a structure that Python read from a file."""


def naming(path: Path, error: Exception) -> str:
    """The message of an error, with the file's path in front where it isn't in it."""
    return str(error) if path.name in str(error) else f"{path}: {error}"


@dataclass(frozen=True)
class Refusal:
    """A row that is no structure. `row` says which one it is, `reason` why it was refused."""

    row: str
    reason: str


Value = TypeVar("Value", covariant=True)


@dataclass(frozen=True)
class Row(Generic[Value]):
    """One entry of a file.

    `where` names it for people ("salt.cif block first", "run.xyz frame 3"); `value` is its structure, or the reason why
    there is none; `columns` holds what else the entry says, under the file's own names; `notes` say what was understood
    rather than read (a rounded position, deuterium); `part` numbers it where its file's name alone would not do (`_2`).
    """

    where: str
    value: Value
    columns: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    part: str = ""


class NamedStructure(NamedTuple):
    """A structure of a file under a name of its own, or the reason why there is none."""

    name: str
    value: Crystal | Refusal
