"""The search on copper-gold alloys with ASE's EMT: real templates and real relaxations, without a generator."""

from __future__ import annotations

import time

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.potential import PotentialFailure, PotentialResult
from dao_core.energy.relaxation.relax import RelaxSettings
from dao_core.screening.formulas import FormulaError, parse_formula
from dao_core.screening.search import (
    SearchModels,
    SearchSettings,
    cells_of,
    propose,
    relax_proposals,
    report_info,
    search,
)
from dao_core.screening.symmetry import spacegroup_number
from tests.helpers.potentials import Scripted, emt
from tests.helpers.search_models import models

SETTINGS = SearchSettings(max_atoms=4, n_generated=0, n_seeded=0, n_templates=4, relax=RelaxSettings(max_steps=15))


def test_search_ranks_by_probability_and_counts_add_up() -> None:
    outcome = search(["CuAu"], models(), SETTINGS)
    found = [c.probability for c in outcome.candidates if c.probability is not None]
    assert found == sorted(found, reverse=True)
    assert sum(found) == pytest.approx(1.0)
    assert len(found) == sum(c.usable for c in outcome.candidates)
    assert {c.formula for c in outcome.candidates} == {"CuAu"}
    info = report_info("CuAu", outcome, models(), SETTINGS)
    assert info.n_asked == (info.n_ok or 0) + (info.n_failed or 0)
    assert info.n_asked == len(propose("CuAu", models(), SETTINGS).items)
    assert {c.energy_identity for c in outcome.candidates} == {"EMT"}


def test_the_same_seed_gives_the_same_answer() -> None:
    first, second = (search(["Cu3Au"], models(), SETTINGS) for _ in range(2))
    assert [(c.id, c.energy_per_atom) for c in first.candidates] == [
        (c.id, c.energy_per_atom) for c in second.candidates
    ]


def test_one_formula_does_not_change_another() -> None:
    alone = search(["CuAu"], models(), SETTINGS).candidates
    together = [c for c in search(["Cu3Au", "CuAu"], models(), SETTINGS).candidates if c.formula == "CuAu"]
    assert [(c.id, c.energy_per_atom) for c in alone] == [(c.id, c.energy_per_atom) for c in together]


def test_cells_follow_z_and_size() -> None:
    formula = parse_formula("CuAu")
    assert [sum(c.values()) for c in cells_of(formula, SETTINGS)] == [2, 4]
    assert cells_of(formula, SETTINGS.model_copy(update={"z": 3})) == [{"Cu": 3, "Au": 3}]
    with pytest.raises(FormulaError, match="raise max_atoms to 5"):
        cells_of(parse_formula("SrTiO3"), SETTINGS)
    with pytest.raises(FormulaError, match="z = 0"):
        cells_of(formula, SETTINGS.model_copy(update={"z": 0}))


def test_a_wrong_formula_stops_before_any_work() -> None:
    def never(_: Crystal, __: int) -> PotentialFailure:
        raise AssertionError("a structure was computed")

    with pytest.raises(FormulaError, match="Xx"):
        search(["CuAu", "Xx2"], SearchModels(Scripted(never), None, models().templates), SETTINGS)


def test_a_spent_budget_keeps_every_proposal() -> None:
    proposals = propose("CuAu", models(), SETTINGS).items
    late = relax_proposals(proposals, emt(), SETTINGS, deadline=time.monotonic() - 1)
    assert [c.id for c in late] == [p.id for p in proposals]
    assert {c.relaxation_status for c in late} == {"not_relaxed"}
    assert all(c.usable for c in late)


def test_a_start_s_space_group_is_kept_unless_it_is_not_to_be() -> None:
    def crooked(crystal: Crystal, _: int) -> PotentialResult:  # pulls the last atom off any site, and shears
        result = emt().compute([crystal])[0]
        assert isinstance(result, PotentialResult)
        pull = np.zeros((crystal.n_atoms, 3))
        pull[-1], pull[0] = [0.3, 0.1, 0.2], [-0.3, -0.1, -0.2]
        shear = 0.01 * np.array([[0, 1, 0.5], [1, 0, 0.2], [0.5, 0.2, 0]])
        return PotentialResult(result.energy, result.forces + pull, shear)

    some = RelaxSettings(max_steps=4, optimizer="fire", max_energy_rise=100.0)  # the pull has no energy of its own
    settings = SETTINGS.model_copy(update={"relax": some})
    proposals = propose("Cu3Au", models(), settings).items
    before = [spacegroup_number(p.crystal) for p in proposals]
    assert max(before) > 200
    kept = relax_proposals(proposals, Scripted(crooked), settings)
    assert [spacegroup_number(c.crystal) for c in kept] == before
    loose = relax_proposals(proposals, Scripted(crooked), settings.model_copy(update={"keep_symmetry": False}))
    assert max(spacegroup_number(c.crystal) for c in loose) < max(before)


def test_only_the_promising_are_relaxed() -> None:
    proposals = propose("CuAu", models(), SETTINGS).items
    few = relax_proposals(proposals, emt(), SETTINGS.model_copy(update={"max_relaxed": 1}))
    assert sum(c.relaxation_status == "not_relaxed" for c in few) == len(proposals) - 1


def test_a_potential_without_an_answer_is_a_status() -> None:
    broken = Scripted(lambda _, __: PotentialFailure("element outside the training data"))
    outcome = search(["CuAu"], SearchModels(broken, None, models().templates), SETTINGS)
    assert outcome.screened.n_ok == 0
    assert set(outcome.screened.reasons) == {"potential_failed"}
    assert outcome.screened.n_failed == outcome.screened.n_asked > 0
