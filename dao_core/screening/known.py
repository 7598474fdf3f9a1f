"""What a search asks a library of known structures."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from dao_core.library.known import KnownStructure


class KnownStructures(Protocol):
    """A library as the search asks it; `dao_core.library.known.LibraryStructures` is the user's."""

    @property
    def source(self) -> str:
        """Name and version, for content keys and pages."""
        ...

    def formulas(self) -> Collection[str]:
        """Every reduced formula that it holds."""
        ...

    def of_formula(self, reduced: str) -> list[KnownStructure]:
        """All structures of a reduced formula, lowest distance to the hull first."""
        ...
