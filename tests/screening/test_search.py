"""The conductor on copper-gold alloys with ASE's EMT: real templates and real relaxations, without a generator."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase.calculators.emt import EMT

from dao_core.crystal import Crystal
from dao_core.energy.adapters.ase import AsePotential
from dao_core.energy.potential import PotentialFailure
from dao_core.energy.relaxation.settings import RelaxSettings
from dao_core.hull.hull import Hull, HullEntry
from dao_core.hull.label import EnergyLabel
from dao_core.library.known import KnownStructure
from dao_core.screening import rank_stages
from dao_core.screening.analysis.phonons import PhononError
from dao_core.screening.analysis.settings import DiagnosticsSettings
from dao_core.screening.candidate import Candidate
from dao_core.screening.context import InProcess, SearchContext
from dao_core.screening.formulas import FormulaError, parse_formula
from dao_core.screening.load_models import OnDemand, SearchModels, load_search_models
from dao_core.screening.load_references import References
from dao_core.screening.proposals import cells_of
from dao_core.screening.search import Conductor, search
from dao_core.screening.settings import JudgeSettings, SearchSettings
from dao_core.screening.symmetry import spacegroup_number
from tests.helpers.candidates import rocksalt
from tests.helpers.potentials import Scripted, emt, untested_predictor
from tests.helpers.search_models import context, models, propose
from tests.helpers.small_runs import crystals
from tests.helpers.structure_list import StructureList

RELAX = RelaxSettings(max_steps=15, batch_size=2)
SETTINGS = SearchSettings(max_atoms=4, n_generated=0, n_seeded=0, n_templates=4, relax=RELAX,
                          judge=JudgeSettings(n_judged=2, relax=RELAX))  # fmt: skip


def judged_models(library: StructureList | None = None) -> SearchModels:
    return SearchModels(emt(), None, models().templates, AsePotential(EMT, "judge"), library)


def test_search_ranks_by_probability_and_counts_add_up() -> None:
    outcome = search(["CuAu"], models(), SETTINGS)
    found = [c.probability for c in outcome.candidates if c.probability is not None]
    assert found == sorted(found, reverse=True)
    assert 0 < sum(found) <= 1
    assert len(found) == sum(c.usable for c in outcome.candidates)
    assert {c.formula for c in outcome.candidates} == {"CuAu"}
    info = outcome.info
    assert info.n_asked == info.n_ok + info.n_failed
    assert info.work["proposals"] == len(propose("CuAu", models(), SETTINGS).items)
    assert info.work["relaxed"] == sum(c.n_merged for c in outcome.candidates if c.relaxed)
    assert {c.energy_identity for c in outcome.candidates} == {"EMT"}


def test_the_same_seed_gives_the_same_candidates() -> None:
    first, second = (search(["Cu3Au"], models(), SETTINGS) for _ in range(2))
    assert [(c.id, c.energy_per_atom) for c in first.candidates] == [
        (c.id, c.energy_per_atom) for c in second.candidates
    ]


def test_one_formula_does_not_change_another() -> None:
    alone = search(["CuAu"], models(), SETTINGS).candidates
    together = [c for c in search(["Cu3Au", "CuAu"], models(), SETTINGS).candidates if c.formula == "CuAu"]
    assert [(c.id, c.energy_per_atom) for c in alone] == [(c.id, c.energy_per_atom) for c in together]


def test_the_typed_order_of_elements_is_shown() -> None:
    shown = {c.shown_formula for f in ("AuCu", "CuAu") for c in search([f], models(), SETTINGS).candidates}
    assert shown == {"AuCu", "CuAu"}


def test_the_judge_relaxes_the_most_probable_and_both_energies_stay() -> None:
    outcome = search(["CuAu"], judged_models(), SETTINGS)
    seen = [c for c in outcome.candidates if c.judged]
    assert 1 <= len(seen) <= 2
    assert outcome.candidates[0].judged
    assert all((c.energy_identity, c.first_energy_identity) == ("judge", "EMT") for c in seen)
    assert {c.energy_identity for c in outcome.candidates if not c.judged} <= {"EMT"}
    assert outcome.info.work["judged"] >= len(seen)


def test_what_the_library_knows_is_always_a_candidate_and_goes_straight_to_the_judge() -> None:
    alloy = next(c for c in crystals(6) if c.formula_reduced == "CuAu")
    known = StructureList("the library", (KnownStructure("L-1", "the library", None, alloy, None, 0.0, -0.1),))
    settings = SETTINGS.model_copy(update={"n_templates": 1})
    outcome = search(["CuAu"], judged_models(known), settings)
    mine = next(c for c in outcome.candidates if c.library_id == "L-1")
    assert mine.judged
    assert (mine.novelty, mine.novelty_reference, mine.library_e_above_hull) == ("match", "L-1", 0.0)
    without_judge = search(["CuAu"], SearchModels(emt(), None, models().templates, None, known), settings)
    assert next(c for c in without_judge.candidates if c.library_id == "L-1").relaxed


def test_what_the_judge_looked_at_is_counted_once_whatever_was_merged_before() -> None:
    """A merged candidate goes to the judge; in the answer its members stand beside it again and merge anew."""
    alloy = next(c for c in crystals(6) if c.formula_reduced == "CuAu")
    larger = alloy.replace(lattice=1.01 * alloy.lattice)
    entries = tuple(
        KnownStructure(name, source, None, crystal, spacegroup_number(alloy), hull, None, n_measured=2)
        for name, source, crystal, hull in (("L-1", "calculated", alloy, 0.0), ("M-1", "measured", larger, None))
    )
    outcome = search(["CuAu"], judged_models(StructureList("the library", entries)), SETTINGS)
    merged = [i for c in outcome.candidates for i in (c.id, *c.merged_ids)]
    assert any(c.n_merged > 1 and c.judged for c in outcome.candidates)
    assert len(merged) == len(set(merged)) == sum(c.n_merged for c in outcome.candidates)
    assert [c.n_measured for c in outcome.candidates if c.library_id] == [2]


def test_a_listed_structure_that_the_judge_leaves_is_in_the_answer_beside_its_end() -> None:
    stretched = rocksalt("Cu", "Au", 5.8)
    off = stretched.replace(frac_coords=np.array([[0, 0, 0], [0.5, 0.5, 0.40]]))
    entry = KnownStructure("L-1", "the library", None, off, spacegroup_number(off), 0.0, None, n_measured=2)
    judge = JudgeSettings(n_judged=4, relax=RelaxSettings(max_steps=80))
    settings = SETTINGS.model_copy(update={"n_templates": 0, "judge": judge, "keep_symmetry": False})
    outcome = search(["CuAu"], judged_models(StructureList("the library", (entry,))), settings)
    (listed,) = (c for c in outcome.candidates if c.library_id == "L-1")
    assert (listed.start_kept, listed.judged, listed.n_measured) == (True, True, 2)
    (end,) = (c for c in outcome.candidates if c.start_id == listed.id)
    assert (end.library_id, end.n_measured, end.n_merged) == (None, 0, 1)
    assert end.energy_per_atom < listed.energy_per_atom


def test_a_formula_of_which_nobody_suggests_a_structure_is_named() -> None:
    settings = SETTINGS.model_copy(update={"n_generated": 0, "n_seeded": 0, "max_atoms": 8})
    outcome = search(["CsRbKNaLiO3"], SearchModels(emt(), None, models().templates), settings)
    assert outcome.candidates == []
    assert any("nothing known and no template fits: --generator dao" in note for note in outcome.info.notes)


def test_known_structures_keep_to_the_size_limit_and_what_it_leaves_out_is_said() -> None:
    alloy = next(c for c in crystals(6) if c.formula_reduced == "CuAu")
    large = Crystal.from_pymatgen(alloy.to_pymatgen() * (1, 1, 2))
    entries = tuple(
        KnownStructure(name, "the library", None, crystal, None, 0.0, None)
        for name, crystal in (("small", alloy), ("large", large))
    )
    settings = SETTINGS.model_copy(update={"max_atoms": alloy.n_atoms})
    outcome = search(["CuAu"], judged_models(StructureList("the library", entries)), settings)
    assert {c.library_id for c in outcome.candidates} - {None} == {"small"}
    told = f"1 known structure has more than {alloy.n_atoms} atoms a cell (--max-atoms {large.n_atoms} takes it)"
    assert any(told in note for note in outcome.info.notes)


def test_of_equally_likely_known_structures_the_smaller_cell_is_judged_first() -> None:
    alloy = next(c for c in crystals(6) if c.formula_reduced == "CuAu")
    layers = np.array([[(i % 2) / 2, (i % 2) / 2, i / 8] for i in range(8)])
    long = Crystal(np.diag([2.9, 2.9, 15.0]), layers, np.repeat([29, 79], 4))
    known = StructureList("the library", (
        KnownStructure("long", "the library", None, long, None, 0.0, -0.1),
        KnownStructure("short", "the library", None, alloy, None, 0.001, -0.1),
    ))  # fmt: skip
    judge = JudgeSettings(n_judged=1, relax=RELAX)
    only_one = {"max_atoms": 8, "n_templates": 0, "judge": judge, "budget_seconds": 1e6}
    outcome = search(["CuAu"], judged_models(known), SETTINGS.model_copy(update=only_one))
    assert [c.library_id for c in outcome.candidates if c.judged] == ["short"]
    told = "1 known structure has no probability: the judge looks at the 1 most probable candidates (`dao screen --n-j"
    assert any(told in note for note in outcome.info.notes)
    assert not any("larger --budget" in note for note in outcome.info.notes)  # time was not what cut it short


def test_a_known_structure_that_lacks_only_an_energy_is_judged_before_one_above_the_hull() -> None:
    alloy = next(c for c in crystals(6) if c.formula_reduced == "CuAu")
    known = StructureList("the library", (
        KnownStructure("listed", "the library", None, rocksalt("Cu", "Au", 5.3), None, 0.02, -0.1),
        KnownStructure("measured", "the library", None, alloy, None, None, None),
    ))  # fmt: skip
    only_one = {"max_atoms": 8, "n_templates": 0, "judge": JudgeSettings(n_judged=1, relax=RELAX)}
    outcome = search(["CuAu"], judged_models(known), SETTINGS.model_copy(update=only_one))
    assert [c.library_id for c in outcome.candidates if c.judged] == ["measured"]


def test_the_likeliest_structure_is_judged_however_large_its_cell() -> None:
    alloy = next(c for c in crystals(6) if c.formula_reduced == "CuAu")
    layers = np.array([[(i % 2) / 2, (i % 2) / 2, i / 16] for i in range(16)])
    long = Crystal(np.diag([2.9, 2.9, 30.0]), layers, np.repeat([29, 79], 8))
    known = StructureList("the library", (
        KnownStructure("long", "the library", None, long, None, 0.0, -0.1),
        KnownStructure("short", "the library", None, alloy, None, 0.022, -0.1),
        KnownStructure("other", "the library", None, rocksalt("Cu", "Au", 5.3), None, 0.022, -0.1),
    ))  # fmt: skip
    only_two = {"max_atoms": 16, "n_templates": 0, "judge": JudgeSettings(n_judged=2, relax=RELAX)}
    outcome = search(["CuAu"], judged_models(known), SETTINGS.model_copy(update=only_two))
    assert "long" in {c.library_id for c in outcome.candidates if c.judged}


def test_rankings_on_the_way_are_heard(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []

    def hear(kind: str, candidates: Sequence[Candidate]) -> None:
        seen.append((kind, sum(c.judged for c in candidates)))

    steps: list[str] = []
    runner = InProcess(lambda step, done, of: steps.append(step) if done == of else None)
    Conductor(context(tmp_path, judged_models(), SETTINGS), runner, hear).run([parse_formula("CuAu")], "test")
    assert [kind for kind, _ in seen] == ["proposed", "relaxed", "judged"]
    assert seen[0][1] == seen[1][1] == 0 < seen[2][1]
    assert steps.index("propose") < steps.index("relax") < steps.index("judge")


def test_templates_are_shown_before_any_model_is_loaded(tmp_path: Path) -> None:
    events: list[str] = []

    def load() -> AsePotential:
        events.append("model loaded")
        return emt()

    lazy = SearchModels(OnDemand("emt", load), OnDemand("none", lambda: events.append("model loaded")),
                        models().templates)  # fmt: skip
    runner = InProcess(lambda step, done, _: events.append(step) if not done else None)
    asked = SETTINGS.model_copy(update={"n_generated": 2})
    Conductor(context(tmp_path, lazy, asked), runner, lambda kind, _: events.append(kind)).run(
        [parse_formula("CuAu")], "test"
    )
    assert events[:3] == ["proposed", "propose", "model loaded"]
    assert events.count("proposed") == 1


def test_where_nothing_can_be_said_at_once_the_proposals_are_shown(tmp_path: Path) -> None:
    events: list[str] = []
    runner = InProcess(lambda step, done, _: events.append(step) if not done else None)
    several = [parse_formula("CuAu"), parse_formula("Cu3Au")]
    Conductor(context(tmp_path, models(), SETTINGS), runner, lambda kind, _: events.append(kind)).run(several, "test")
    assert events.index("propose") < events.index("proposed")


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


def test_vibrations_from_an_untested_predictor_are_refused_before_any_work(tmp_path: Path) -> None:
    vibrations = DiagnosticsSettings(phonons=True, phonon_potential=str(untested_predictor(tmp_path / "untested")))
    asked = context(tmp_path / "run", load_search_models(judge="none"), SETTINGS, diagnostics=vibrations)
    with pytest.raises(PhononError, match="name other forces"):
        Conductor(asked).run([parse_formula("CuAu")], "test")
    assert not (tmp_path / "run").exists()


def test_a_budget_that_ends_early_keeps_every_proposal_and_says_what_it_cut(tmp_path: Path) -> None:
    now = time.time()
    judge = JudgeSettings(n_judged=1, relax=RELAX)
    wanted = SETTINGS.model_copy(update={"budget_seconds": 1e6, "n_generated": 2, "judge": judge})
    late = context(tmp_path, judged_models(), wanted, started=now - 7.5e5)  # after relaxing's share, before the end
    outcome = Conductor(late).run([parse_formula("CuAu"), parse_formula("AgAu")], "test")
    cut = [c for c in outcome.candidates if c.relaxation_status == "not_relaxed"]
    assert cut
    assert {c.probability for c in cut} == {None}
    assert any("were not relaxed within 1e+06 s" in note and "larger --budget" in note for note in outcome.info.notes)
    assert any("2 of 2 formulas got no generated structures" in note for note in outcome.info.notes)
    generator = SimpleNamespace(max_atoms=20, elements={29, 79}, symmetry=None, identity="G")
    tried = SearchModels(emt(), generator, models().templates, AsePotential(EMT, "judge"))  # type: ignore[arg-type]
    large = wanted.model_copy(update={"max_atoms": 64})
    late = context(tmp_path / "large", tried, large, started=now - 7.5e5)
    formulas = [parse_formula(text) for text in ("CuAu", "Cu17Au12", "AgAu")]
    notes = Conductor(late).run(formulas, "test").info.notes
    assert any(
        "Cu17Au12: nothing was generated: a cell has 29 atoms, the generator was trained on 20" in n for n in notes
    )
    assert any("AgAu: nothing was generated: the generator never saw Ag" in n for n in notes)
    assert any("1 of 3 formulas got no generated structures" in n for n in notes)


def test_one_formula_is_answered_with_energies_however_slow_the_machine_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_formulas = 1

    def late(self: SearchContext, share: float = 1.0) -> bool:
        return share <= 1.0 and len(list(self.root.glob("propose/*/manifest.json"))) == n_formulas

    monkeypatch.setattr(SearchContext, "late", late)
    settings = SETTINGS.model_copy(update={"budget_seconds": 1e6, "judge": JudgeSettings(n_judged=3, relax=RELAX)})
    one = Conductor(context(tmp_path / "one", judged_models(), settings)).run([parse_formula("CuAu")], "test")
    assert sum(c.judged for c in one.candidates) == 2
    assert one.candidates[0].probability is not None
    n_formulas = 2
    several = [parse_formula("CuAu"), parse_formula("AgAu")]
    two = Conductor(context(tmp_path / "two", judged_models(), settings)).run(several, "test")
    assert not any(c.judged for c in two.candidates)


def test_without_a_judge_relaxing_has_the_whole_budget(tmp_path: Path) -> None:
    long = SETTINGS.model_copy(update={"budget_seconds": 1e6})
    outcome = Conductor(context(tmp_path, models(), long, started=time.time() - 7.5e5)).run(
        [parse_formula("CuAu")], "t"
    )
    assert "not_relaxed" not in {c.relaxation_status for c in outcome.candidates}
    assert not any("not relaxed" in note for note in outcome.info.notes)


def test_only_so_many_are_relaxed_and_the_answer_says_so() -> None:
    outcome = search(["CuAu"], models(), SETTINGS.model_copy(update={"max_relaxed": 1}))
    assert outcome.info.work["relaxed"] == 1
    assert any("not relaxed (--relax 1" in note for note in outcome.info.notes)


def test_a_potential_without_an_answer_is_a_status() -> None:
    broken = Scripted(lambda _, __: PotentialFailure("element outside the training data"))
    outcome = search(["CuAu"], SearchModels(broken, None, models().templates), SETTINGS)
    assert outcome.info.n_ok == 0
    assert set(outcome.info.reasons) == {"potential_failed"}
    assert outcome.info.n_failed == outcome.info.n_asked > 0


def test_a_judge_without_an_answer_leaves_distances_to_the_hull_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hull stands on the judge's energies, and no candidate has one: an answer all the same, not an error."""
    broken = Scripted(lambda _, __: PotentialFailure("element outside the training data"))
    elements = [HullEntry({29: 1}, 0.0), HullEntry({79: 1}, 0.0)]
    references = References(Hull.from_entries(elements, EnergyLabel(broken.identity)), key="k")
    monkeypatch.setattr(rank_stages, "references_of", lambda *_: references)
    outcome = search(["CuAu"], SearchModels(emt(), None, models().templates, broken), SETTINGS)
    assert outcome.candidates[0].energy_identity == "EMT"
    assert {c.e_above_hull for c in outcome.candidates} == {None}
    assert any("no candidate has energies of scripted" in note for note in outcome.info.notes)
