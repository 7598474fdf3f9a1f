"""What a search asks a library of known structures."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
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


@dataclass(frozen=True, eq=False)
class StructureList:
    """A library in memory."""

    source: str
    structures: tuple[KnownStructure, ...]

    def formulas(self) -> Collection[str]:
        """Every reduced formula."""
        return {s.formula_reduced for s in self.structures}

    def of_formula(self, reduced: str) -> list[KnownStructure]:
        """All structures of a reduced formula, lowest distance to the hull first."""
        hits = [s for s in self.structures if s.formula_reduced == reduced]
        return sorted(hits, key=lambda s: (s.e_above_hull is None, s.e_above_hull or 0.0, s.material_id))
