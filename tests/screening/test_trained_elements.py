"""Elements that no energy was trained on are refused before any work; one model that knows them is enough."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from dao_core.screening.formulas import FormulaError, parse_formula
from dao_core.screening.load_models import OnDemand, SearchModels, load_search_models
from dao_core.screening.search import search
from dao_core.screening.trained_elements import check_trained
from tests.helpers.potentials import emt


def model(elements: Iterable[int] | None) -> Any:
    return SimpleNamespace(identity="m", elements=None if elements is None else frozenset(elements))


RA_O, FM, NA_CL = (parse_formula(text) for text in ("RaO", "Fm", "NaCl"))


def test_what_no_energy_knows_is_refused_by_name() -> None:
    models = SearchModels(model(range(1, 84)), judge=model(range(1, 88)))
    with pytest.raises(FormulaError) as error:
        check_trained([NA_CL, RA_O, FM], models)
    assert str(error.value).startswith("RaO, Fm: no energy model of this search was trained on Ra, Fm: leave it out")


@pytest.mark.parametrize("knowing", [model(range(1, 101)), model(None), emt()])
def test_one_model_that_knows_all_or_does_not_say_is_enough(knowing: Any) -> None:
    poor = model(range(1, 84))
    check_trained([RA_O, FM], SearchModels(poor, judge=knowing))
    check_trained([RA_O, FM], SearchModels(knowing, judge=poor))
    check_trained([RA_O, FM], SearchModels(knowing))


def test_half_a_formula_is_not_enough() -> None:
    with pytest.raises(FormulaError, match="RaO: no energy model"):
        check_trained([RA_O], SearchModels(model({8}), judge=model({88})))


def test_no_model_is_loaded_for_common_elements() -> None:
    def load() -> Any:
        raise AssertionError("loaded")

    check_trained([NA_CL], SearchModels(OnDemand("dao", load)))


def test_a_search_refuses_it_before_it_proposes() -> None:
    models = load_search_models(generator="none", judge="none", library="none")
    with pytest.raises(FormulaError, match="Fm: no energy model of this search was trained on Fm"):
        search(["Fm"], models)
