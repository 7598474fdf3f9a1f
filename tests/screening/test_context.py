"""The clock of a search: what counts against its budget, and what becomes of a piece that has had its time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import cast

import pytest
from ase.calculators.emt import EMT

from dao_core.artifacts import StageRecord
from dao_core.energy.adapters.ase import AsePotential
from dao_core.energy.relaxation.settings import RelaxSettings
from dao_core.screening import load_models
from dao_core.screening.candidate_table import load_candidates
from dao_core.screening.context import SearchContext, TimeLimit
from dao_core.screening.formulas import parse_formula
from dao_core.screening.load_models import OnDemand, SearchModels
from dao_core.screening.relaxing import UNFINISHED
from dao_core.screening.search import Conductor
from dao_core.screening.settings import JudgeSettings, SearchSettings
from dao_core.screening.stages import CANDIDATES, Piece, judge_stage, propose_stage, relax_stage
from tests.helpers.potentials import emt
from tests.helpers.search_models import context, models

RELAX = RelaxSettings(max_steps=15, batch_size=2)
SETTINGS = SearchSettings(max_atoms=4, n_generated=0, n_seeded=0, n_templates=4, relax=RELAX, budget_seconds=1e6,
                          judge=JudgeSettings(n_judged=2, relax=RELAX))  # fmt: skip
JUDGED = SearchModels(emt(), None, models().templates, AsePotential(EMT, "judge"))


def ticks() -> Callable[[], float]:
    """A clock on which a second passes whenever somebody looks."""
    seconds = count()
    return lambda: float(next(seconds))


def short(monkeypatch: pytest.MonkeyPatch, seconds: float = 2.5) -> None:
    """Every piece of a search has time for two steps."""
    monkeypatch.setattr(SearchContext, "limit", lambda *_: TimeLimit(seconds, ticks()))


def test_a_limit_remembers_that_it_has_passed() -> None:
    limit = TimeLimit(1.5, ticks())
    assert (limit(), limit.passed) == (False, False)
    assert (limit(), limit.passed) == (True, True)


def test_only_a_budget_limits_a_relaxation(tmp_path: Path) -> None:
    assert context(tmp_path, models(), SETTINGS).limit() is not None
    assert context(tmp_path, models(), SETTINGS.model_copy(update={"budget_seconds": None})).limit() is None


def test_what_an_answer_needs_has_several_budgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def limit(_: SearchContext, times: float = 1.0) -> TimeLimit:
        asked.append(times)
        return TimeLimit(1e9, ticks())

    monkeypatch.setattr(SearchContext, "limit", limit)
    search = context(tmp_path, JUDGED, SETTINGS)
    piece = Piece(cast(StageRecord, propose_stage("CuAu", search)), (0,), certain=True)
    judge_stage(piece, search)
    judge_stage(replace(piece, rows=(1,), certain=False), search)
    assert asked[0] > 1
    assert asked[1] == 1


def test_loading_models_costs_no_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])

    def load() -> AsePotential:
        now[0] += 500.0
        return emt()

    lazy = SearchModels(OnDemand("emt", load), judge=OnDemand("j", lambda: load_models.LoadedJudge(load(), None)))
    search = context(tmp_path, lazy, SETTINGS.model_copy(update={"budget_seconds": 30.0}), started=now[0])
    assert search.loaded.potential is not None
    assert search.loaded.judge is not None
    now[0] += 29.0
    assert not search.late()
    now[0] += 2.0
    assert search.late()
    later = context(tmp_path, lazy, search.settings, started=now[0])  # its models are there already
    now[0] += 31.0
    assert later.late()


def proposed(search: SearchContext) -> Piece:
    record = propose_stage("CuAu", search)
    assert record is not None
    return Piece(record, (0, 1))


def test_what_was_broken_off_is_made_anew_by_a_search_with_more_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = context(tmp_path, JUDGED, SETTINGS)
    piece = replace(proposed(search), rows=(0,))
    with monkeypatch.context() as patch:
        short(patch)
        cut = cast(StageRecord, judge_stage(piece, search))
    assert cut.facts[UNFINISHED] == len(load_candidates(cut.file(CANDIDATES))) == 1
    assert not any(c.judged for c in load_candidates(cut.file(CANDIDATES)))
    whole = cast(StageRecord, judge_stage(piece, search))
    assert all(c.judged for c in load_candidates(whole.file(CANDIDATES)))
    assert UNFINISHED not in whole.facts
    assert judge_stage(piece, search) == whole


def test_first_energies_that_were_begun_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = context(tmp_path, models(), SETTINGS)
    short(monkeypatch)
    relaxed = cast(StageRecord, relax_stage(proposed(search), search))
    assert all(c.relaxed or c.start_kept for c in load_candidates(relaxed.file(CANDIDATES)))


def test_what_an_earlier_search_finished_costs_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formula = [parse_formula("CuAu")]
    whole = Conductor(context(tmp_path, JUDGED, SETTINGS)).run(formula, "test")
    assert sum(c.judged for c in whole.candidates) > 0
    monkeypatch.setattr(SearchContext, "late", lambda *_: True)
    late = Conductor(context(tmp_path, JUDGED, SETTINGS)).run(formula, "test")
    assert not late.unrelaxed
    assert [(c.id, c.energy_per_atom, c.judged) for c in late.candidates] == [
        (c.id, c.energy_per_atom, c.judged) for c in whole.candidates
    ]
    other = Conductor(context(tmp_path, JUDGED, SETTINGS)).run([parse_formula("Cu3Au")], "test")
    assert other.unrelaxed


def test_the_first_energies_of_one_formula_are_finished_and_its_judge_has_twice_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = context(tmp_path, JUDGED, SETTINGS)
    certain = replace(proposed(search), certain=True)
    short(monkeypatch)
    times = 1.5
    monkeypatch.setattr(SearchContext, "late", lambda _, share=1.0: share < times)
    assert relax_stage(replace(certain, certain=False), search) is None
    relaxed = cast(StageRecord, relax_stage(certain, search))
    assert all(c.relaxed or c.start_kept for c in load_candidates(relaxed.file(CANDIDATES)))
    likeliest = replace(certain, rows=(0,))
    assert judge_stage(replace(likeliest, certain=False), search) is None
    assert cast(StageRecord, judge_stage(likeliest, search)).facts[UNFINISHED] == 1
    times = 2.5
    assert judge_stage(likeliest, search) is None


def test_a_search_whose_judge_has_no_time_keeps_the_first_energies_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    formula = [parse_formula("CuAu")]
    heard: list[str] = []

    def limit(self: SearchContext, _: float) -> TimeLimit:
        relaxing = not list(self.root.glob("shortlist/*"))
        return TimeLimit(1e9 if relaxing else 0.5, ticks())

    with monkeypatch.context() as patch:
        patch.setattr(SearchContext, "limit", limit)
        search = context(tmp_path, JUDGED, SETTINGS)
        cut = Conductor(search, on_ranking=lambda kind, _: heard.append(kind)).run(formula, "test")
    first = cut.candidates[0]
    assert (first.judged, first.energy_identity, first.relaxed) == (False, "EMT", True)
    assert first.probability is not None
    assert any("relaxations were broken off" in note and "as it was before" in note for note in cut.info.notes)
    assert heard == ["proposed", "relaxed"]  # a table of judged ones would only repeat the last
    again = Conductor(context(tmp_path, JUDGED, SETTINGS)).run(formula, "test")
    assert sum(c.judged for c in again.candidates) > 0
    assert not any("broken off" in note for note in again.info.notes)
