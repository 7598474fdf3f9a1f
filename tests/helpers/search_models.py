"""Models of a search that need no network: EMT and a few alloys as templates."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from dao_core.generate.templates.index import TemplateIndex
from dao_core.screening.context import SearchContext
from dao_core.screening.formulas import parse_formula
from dao_core.screening.generation import generate
from dao_core.screening.load_models import SearchModels
from dao_core.screening.proposals import Proposer, propose_known
from dao_core.screening.proposed import Proposals
from dao_core.screening.settings import SearchSettings
from tests.helpers.potentials import emt
from tests.helpers.small_runs import crystals


@lru_cache(maxsize=1)
def models() -> SearchModels:
    index = TemplateIndex.build([(f"t{i}", c) for i, c in enumerate(crystals(6))], source="prototypes of the test")
    return SearchModels(emt(), None, index)


def propose(text: str, search_models: SearchModels, settings: SearchSettings) -> Proposals:
    """Everything that a search proposes for a formula: what is known, templates, samples."""
    proposer = Proposer(parse_formula(text), search_models, settings)
    parts = (propose_known(proposer), generate(proposer))
    return Proposals(*([x for p in parts for x in getattr(p, name)] for name in ("items", "refused", "not_tried")))


def context(root: Path, search_models: SearchModels, settings: SearchSettings, **more: Any) -> SearchContext:
    """A search's context with its ledger in a folder."""
    return SearchContext(root, search_models, settings, **more)
