"""A library of known structures in memory, as a search asks it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from dao_core.library.known import KnownStructure


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
