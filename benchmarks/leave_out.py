"""Search models that know nothing of one composition: what benchmarks ask, so that no answer is looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dao_core.library.known import KnownStructure
from dao_core.screening.load_models import SearchModels

if TYPE_CHECKING:
    from dao_core.generate.templates.index import TemplateHit, TemplateIndex
    from dao_core.screening.known import KnownStructures


@dataclass(frozen=True)
class TemplatesWithout:
    """An index without the entries of the composition that is asked for."""

    index: TemplateIndex
    rows: dict[str, list[str]]  # reduced formula -> ids

    @property
    def source(self) -> str:
        """As the index's own, and what is left out."""
        return f"{self.index.source}; without the compound itself"

    def query(self, composition: dict[str, int], k: int, exclude_ids: tuple[str, ...] = ()) -> list[TemplateHit]:
        """As the index answers."""
        return self.index.query(composition, k, [*self._own(composition), *exclude_ids])

    def log_evidence(self, composition: dict[str, int], exclude_ids: tuple[str, ...] = ()) -> float | None:
        """As the index answers."""
        return self.index.log_evidence(composition, [*self._own(composition), *exclude_ids])

    def _own(self, composition: dict[str, int]) -> list[str]:
        from pymatgen.core import Composition

        return self.rows.get(Composition(composition).reduced_formula, [])


@dataclass(frozen=True)
class LibraryWithout:
    """A library that knows no structure of any composition that is asked for."""

    library: KnownStructures

    @property
    def source(self) -> str:
        """As the library's own, and what is left out."""
        return f"{self.library.source}; without the compound itself"

    def formulas(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def of_formula(self, reduced: str) -> list[KnownStructure]:  # noqa: ARG002 - whatever is asked
        """None."""
        return []


def without_the_compound(models: SearchModels) -> SearchModels:
    """The same models with a library and templates that hold nothing of the composition that is searched."""
    assert models.templates is not None
    rows: dict[str, list[str]] = {}
    for name, crystal in zip(models.templates.ids, models.templates.crystals, strict=True):
        rows.setdefault(crystal.formula_reduced, []).append(name)
    templates = TemplatesWithout(models.templates, rows)
    library = None if models.library is None else LibraryWithout(models.library)
    return models.replaced(templates=templates, library=library)
