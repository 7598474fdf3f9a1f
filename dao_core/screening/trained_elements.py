"""Which formulas a search must refuse: none of its energy models was trained on their elements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from dao_core.elements import SYMBOLS, atomic_number
from dao_core.screening.formulas import Formula, FormulaError

if TYPE_CHECKING:
    from dao_core.screening.load_models import SearchModels

NAMED = 5  # formulas in a message


def check_trained(formulas: Sequence[Formula], models: SearchModels) -> None:
    """Refuse formulas that no energy of a search could rank.

    Models are loaded only for what the shipped DAO-P was not trained on: such elements are rare in every data set, and
    for all others the first answer need not wait.

    Args:
        formulas: What is searched.
        models: What relaxes and judges; one that does not say what it was trained on is taken to know everything.

    Raises:
        FormulaError: Of some formula every model lacks an element.
    """
    rare = [formula for formula in formulas if not _numbers(formula) <= _shipped()]
    if not rare:
        return
    known: list[frozenset[int]] = []
    for model in (models.potential, models.judge):
        elements = None if model is None else getattr(model, "elements", None)
        if model is not None and elements is None:
            return
        if elements is not None:
            known.append(frozenset(elements))
    refused = [formula for formula in rare if not any(_numbers(formula) <= elements for elements in known)]
    if refused:
        missing = sorted({z for formula in refused for z in _numbers(formula) - max(known, key=len)})
        names = ", ".join(formula.shown for formula in refused[:NAMED]) + (", ..." if len(refused) > NAMED else "")
        raise FormulaError(
            f"{names}: no energy model of this search was trained on {', '.join(SYMBOLS[z] for z in missing)}: leave "
            "it out, or name a potential or judge that was"
        )


def _numbers(formula: Formula) -> frozenset[int]:
    return frozenset(atomic_number(symbol) for symbol in formula.unit)


@lru_cache(maxsize=1)
def _shipped() -> frozenset[int]:
    """Elements of the shipped DAO-P, read without loading it."""
    config = files("dao_core.models") / "checkpoints" / "predictor" / "config.json"
    return frozenset(json.loads(config.read_text())["elements"])
