"""Elements that no energy was trained on are refused before any work; one model that knows them is enough."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from dao_core.screening.formulas import FormulaError, parse_formula
from dao_core.screening.load_models import OnDemand, SearchModels, load_search_models
from dao_core.screening.search import search
from dao_core.screening.settings import SearchSettings
from dao_core.screening.trained_elements import with_trained_elements
from tests.helpers.potentials import emt


def model(elements: Iterable[int] | None) -> Any:
    return SimpleNamespace(identity="m", elements=None if elements is None else frozenset(elements))


RA_O, FM, NA_CL = (parse_formula(text) for text in ("RaO", "Fm", "NaCl"))


def test_what_no_energy_knows_is_refused_by_name() -> None:
    models = SearchModels(model(range(1, 84)), judge=model(range(1, 88)))
    with pytest.raises(FormulaError) as error:
        with_trained_elements([RA_O, FM], models)
    assert str(error.value).startswith("RaO, Fm: no energy model of this search was trained on Ra, Fm: leave it out")


def test_the_others_of_a_list_are_searched() -> None:
    kept, reason = with_trained_elements([NA_CL, FM], SearchModels(model(range(1, 84))))
    assert kept == [NA_CL]
    assert reason == "left out: Fm: no energy model of this search was trained on Fm"
    assert with_trained_elements([NA_CL], SearchModels(model(range(1, 84)))) == ([NA_CL], None)


@pytest.mark.parametrize("knowing", [model(range(1, 101)), model(None), emt()])
def test_one_model_that_knows_all_or_does_not_say_is_enough(knowing: Any) -> None:
    poor = model(range(1, 84))
    for models in (SearchModels(poor, judge=knowing), SearchModels(knowing, judge=poor), SearchModels(knowing)):
        assert with_trained_elements([RA_O, FM], models) == ([RA_O, FM], None)


def test_half_a_formula_is_not_enough() -> None:
    with pytest.raises(FormulaError, match="RaO: no energy model"):
        with_trained_elements([RA_O], SearchModels(model({8}), judge=model({88})))


def test_no_model_is_loaded_for_common_elements() -> None:
    def load() -> Any:
        raise AssertionError("loaded")

    with_trained_elements([NA_CL], SearchModels(OnDemand("dao", load)))


def test_a_search_refuses_it_before_it_proposes() -> None:
    models = load_search_models(generator="none", judge="none", library="none")
    with pytest.raises(FormulaError, match="Fm: no energy model of this search was trained on Fm"):
        search(["Fm"], models)


def test_a_list_is_searched_without_it_and_says_so() -> None:
    models = load_search_models(generator="none", judge="none", library="none")
    outcome = search(["Fm", "NaCl"], models, SearchSettings(budget_seconds=1.0))
    assert {c.formula for c in outcome.candidates} == {"NaCl"}
    assert "left out: Fm: no energy model of this search was trained on Fm" in outcome.info.notes
