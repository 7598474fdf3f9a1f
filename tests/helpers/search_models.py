"""Models of a search that need no network: EMT and a few alloys as templates."""

from __future__ import annotations

from functools import lru_cache

from dao_core.generate.templates.index import TemplateIndex
from dao_core.screening.search import SearchModels
from tests.helpers.potentials import emt
from tests.helpers.small_runs import crystals


@lru_cache(maxsize=1)
def models() -> SearchModels:
    index = TemplateIndex.build([(f"t{i}", c) for i, c in enumerate(crystals(6))], source="prototypes of the test")
    return SearchModels(emt(), None, index)
