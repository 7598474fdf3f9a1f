"""Which formulas a search must leave out: none of its energy models was trained on their elements."""

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


def with_trained_elements(formulas: Sequence[Formula], models: SearchModels) -> tuple[list[Formula], str | None]:
    """Leave out the formulas that no energy of a search could rank.

    Models are loaded only for what the shipped DAO-P was not trained on: such elements are rare in every data set, and
    for all others the first answer need not wait.

    Args:
        formulas: What is searched.
        models: What relaxes and judges; one that does not say what it was trained on is taken to know everything.

    Returns:
        The others, and what was left out and why in one line, None where nothing was.

    Raises:
        FormulaError: No formula is left.
    """
    rare = [formula for formula in formulas if not _numbers(formula) <= _shipped()]
    known = _known(models) if rare else None
    if known is None:
        return list(formulas), None
    refused = [formula for formula in rare if not any(_numbers(formula) <= elements for elements in known)]
    if not refused:
        return list(formulas), None
    missing = sorted({z for formula in refused for z in _numbers(formula) - max(known, key=len)})
    names = ", ".join(formula.shown for formula in refused[:NAMED]) + (", ..." if len(refused) > NAMED else "")
    reason = f"{names}: no energy model of this search was trained on {', '.join(SYMBOLS[z] for z in missing)}"
    kept = [formula for formula in formulas if formula not in refused]
    if not kept:
        raise FormulaError(f"{reason}: leave it out, or name a potential or judge that was")
    return kept, f"left out: {reason}"


def _known(models: SearchModels) -> list[frozenset[int]] | None:
    """What each model was trained on; None where one does not say."""
    known: list[frozenset[int]] = []
    for model in (models.potential, models.judge):
        elements = None if model is None else getattr(model, "elements", None)
        if model is not None and elements is None:
            return None
        if elements is not None:
            known.append(frozenset(elements))
    return known


def _numbers(formula: Formula) -> frozenset[int]:
    return frozenset(atomic_number(symbol) for symbol in formula.unit)


@lru_cache(maxsize=1)
def _shipped() -> frozenset[int]:
    """Elements of the shipped DAO-P, read without loading it."""
    config = files("dao_core.models") / "checkpoints" / "predictor" / "config.json"
    return frozenset(json.loads(config.read_text())["elements"])
