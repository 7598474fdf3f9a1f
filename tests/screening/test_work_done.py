"""An answer whose budget ended early, and the numbers below an answer."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT

from dao_core.crystal import Crystal
from dao_core.energy.adapters.ase import AsePotential
from dao_core.energy.potential import PotentialResult
from dao_core.energy.relaxation.settings import RelaxSettings
from dao_core.screening.candidate import NOT_RELAXED
from dao_core.screening.context import SearchContext
from dao_core.screening.formulas import parse_formula
from dao_core.screening.load_models import OnDemand, SearchModels
from dao_core.screening.proposed import Proposals
from dao_core.screening.search import Conductor, NothingProposedError, search
from dao_core.screening.settings import JudgeSettings, SearchSettings
from dao_core.screening.stages import first_look
from dao_core.screening.work_done import work_done
from tests.helpers.candidates import candidate, rocksalt
from tests.helpers.potentials import Scripted, emt
from tests.helpers.search_models import context, models, propose

RELAX = RelaxSettings(max_steps=15, batch_size=2)
SETTINGS = SearchSettings(max_atoms=4, n_generated=0, n_seeded=0, n_templates=4, relax=RELAX,
                          judge=JudgeSettings(n_judged=2, relax=RELAX))  # fmt: skip
BUDGET = SETTINGS.model_copy(update={"budget_seconds": 1e6})
ENDED = "the budget of 1e+06 s ended before anything was relaxed"
CUAU = [parse_formula("CuAu")]


def spent(folder: Path, search_models: SearchModels, times: float = 1.5) -> SearchContext:
    """A search whose budget was spent before it began, so many times over."""
    return context(folder, search_models, BUDGET, started=time.time() - times * 1e6)


def never() -> AsePotential:
    raise AssertionError("a model was loaded that nobody needs")


def test_a_budget_that_ends_at_once_leaves_the_first_look_as_the_answer(tmp_path: Path) -> None:
    idle = OnDemand("idle", never)
    late = spent(tmp_path, SearchModels(emt(), idle, models().templates, idle))  # type: ignore[arg-type]
    outcome = Conductor(late).run(CUAU, "test")
    assert outcome.unrelaxed
    assert [c.id for c in outcome.candidates] == [c.id for c in first_look("CuAu", late)]
    assert {c.relaxation_status for c in outcome.candidates} == {NOT_RELAXED}
    assert outcome.info.notes[0].startswith(ENDED)
    assert (outcome.report.file("report") / "index.html").is_file()
    assert len(list((outcome.report.file("report")).glob("*.cif"))) == len(outcome.candidates)


def test_the_same_search_goes_on_with_more_time(tmp_path: Path) -> None:
    assert Conductor(spent(tmp_path, models())).run(CUAU, "test").unrelaxed
    outcome = Conductor(context(tmp_path, models(), BUDGET)).run(CUAU, "test")
    assert not outcome.unrelaxed
    assert any(c.relaxed for c in outcome.candidates)
    assert not any("ended before" in note for note in outcome.info.notes)


def test_of_several_formulas_as_many_are_looked_up_as_twice_the_budget_allows(tmp_path: Path) -> None:
    formulas = [*CUAU, parse_formula("AgAu")]
    both = Conductor(spent(tmp_path, models())).run(formulas, "test")
    assert both.unrelaxed
    assert {c.formula for c in both.candidates} == {"CuAu", "AgAu"}
    one = Conductor(spent(tmp_path, models(), times=2.5)).run(formulas, "test")
    assert {c.formula for c in one.candidates} == {"CuAu"}
    assert one.skipped == ("AgAu",)


def test_several_formulas_that_were_proposed_and_not_relaxed_are_an_answer_too(tmp_path: Path) -> None:
    def late(self: SearchContext, share: float = 1.0) -> bool:  # noqa: ARG001
        return len(list(self.root.glob("propose/*/manifest.json"))) == 2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SearchContext, "late", late)
        outcome = Conductor(context(tmp_path, models(), BUDGET)).run([*CUAU, parse_formula("AgAu")], "test")
    assert outcome.unrelaxed
    assert outcome.info.notes[0].startswith(ENDED)


def test_a_budget_in_which_nothing_can_be_said_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NothingProposedError, match="larger --budget"):
        Conductor(spent(tmp_path, SearchModels(emt()))).run(CUAU, "test")


def test_what_was_shown_first_stays_where_all_places_were_for_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where samples are likelier than templates none is proposed; without time for samples they are the answer."""
    monkeypatch.setattr("dao_core.screening.stages.propose_known", lambda _: Proposals())
    late_for_samples = context(tmp_path, models(), BUDGET, kept=False, started=time.time() - 0.65e6)
    outcome = Conductor(late_for_samples).run(CUAU, "test")
    assert {c.origin for c in outcome.candidates} == {"template"}
    assert not any("no template fits" in note for note in outcome.info.notes)


def test_a_search_without_a_budget_is_never_cut_short() -> None:
    assert not search(["CuAu"], models(), SETTINGS).unrelaxed


def test_proposals_whose_relaxation_failed_are_counted_as_proposals() -> None:
    def bursts(crystal: Crystal, _: int) -> PotentialResult:
        return PotentialResult(12.0, np.zeros((crystal.n_atoms, 3)), -40.0 * np.eye(3))

    outcome = search(["CuAu"], SearchModels(Scripted(bursts), None, models().templates), SETTINGS)
    n = len(propose("CuAu", models(), SETTINGS).items)
    assert (outcome.info.work["proposals"], outcome.info.work["left as proposed after a failed relaxation"]) == (n, n)
    assert "relaxed" not in outcome.info.work
    assert outcome.info.n_asked == n


def test_the_kinds_of_work_add_up_to_what_was_asked() -> None:
    crystal = rocksalt()
    done = [
        candidate("a", crystal),
        candidate("b", crystal, relaxation_status="start"),
        candidate("c", crystal, None, relaxation_status=NOT_RELAXED),
        candidate("d", crystal, judged=True),
        candidate("d-start", crystal, judged=True, relaxation_status="start"),
        candidate("e", crystal, None, relaxation_status="rejected_volume"),
        candidate("f", crystal, judged=True),
        candidate("f-start", crystal, judged=True),  # which the judge took from the shortlist and relaxed as well
    ]
    work = work_done(done)
    n_failed = sum(c.rejected for c in done)
    assert work["proposals"] + work["starts kept beside their ends"] == len(done)
    ways = ("relaxed", "left as proposed after a failed relaxation", "not relaxed")
    assert sum(work[way] for way in ways) + n_failed == work["proposals"] == 6
    assert work["judged"] == 4


def test_the_judge_s_table_follows_that_of_the_first_energies(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    judged = SearchModels(emt(), None, models().templates, AsePotential(EMT, "judge"))
    hear = lambda kind, found: seen.append((kind, sum(c.relaxed for c in found), sum(c.judged for c in found)))  # noqa: E731
    Conductor(context(tmp_path, judged, SETTINGS), on_ranking=hear).run(CUAU, "test")
    assert [kind for kind, *_ in seen] == ["proposed", "relaxed", "judged"]
    assert seen[1][1] > 0 == seen[1][2]
    seen.clear()
    Conductor(context(tmp_path / "alone", models(), SETTINGS), on_ranking=hear).run(CUAU, "test")
    assert [kind for kind, *_ in seen] == ["proposed"]
