"""Phonons and pressure as stages: done once, added to the candidates, and what they find is ranked with the rest."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from dao_core.artifacts import StageRecord
from dao_core.crystal import Crystal
from dao_core.energy.potential import Potential, PotentialFailure, PotentialResult
from dao_core.energy.predictor import DaoPotential
from dao_core.energy.relaxation.relax import RelaxSettings
from dao_core.screening.analysis.phonons import PhononError
from dao_core.screening.analysis.settings import DiagnosticsSettings, PhononSettings
from dao_core.screening.analysis.stages import (
    FOUND,
    JUDGED,
    check_given,
    chosen,
    diagnosis_notes,
    gate,
    merge_diagnoses,
    phonon_forces,
    phonon_stage,
    phonon_targets,
    pressure_stage,
    pressure_targets,
    under_pressure,
)
from dao_core.screening.candidate import Candidate
from dao_core.screening.candidate_table import load_candidates, save_candidates
from dao_core.screening.context import SearchContext
from dao_core.screening.given import GivenStructure, GivenStructureError
from dao_core.screening.load_models import SearchModels
from dao_core.screening.rank_stages import ReportRequest, report_stage
from dao_core.screening.relaxing import LEFT_PRIOR
from dao_core.screening.stages import CANDIDATES, INFO
from tests.helpers.candidates import candidate
from tests.helpers.lennard_jones import LennardJonesPotential
from tests.helpers.potentials import emt, untested_predictor

SETTINGS = DiagnosticsSettings(
    phonons=True,
    n_phonons=2,
    phonon=PhononSettings(min_length=7.0, max_atoms=64, mesh=4),
    pressures_gpa=(5.0, 0.0),
    n_pressure=2,
    relax=RelaxSettings(max_steps=40),
)
SIMPLE_CUBIC = Crystal(3.6 * np.eye(3), np.zeros((1, 3)), np.array([18]))
BCC = Crystal(4.2 * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([18, 18]))


def argon() -> list[Candidate]:
    potential = LennardJonesPotential()
    out = []
    for name, crystal in (("bcc", BCC), ("sc", SIMPLE_CUBIC)):
        energy = potential.compute([crystal])[0].energy / crystal.n_atoms  # type: ignore[union-attr]
        out.append(candidate(name, crystal, energy, energy_identity=potential.identity))
    return [*out, candidate("bad", BCC, None, relaxation_status="rejected_volume")]


def context(root: Path, potential: Potential, settings: DiagnosticsSettings = SETTINGS) -> SearchContext:
    return SearchContext(root, SearchModels(potential), diagnostics=settings)


def page_of(ranked: StageRecord, record: StageRecord, search: SearchContext) -> StageRecord:
    return report_stage(ranked, [], ReportRequest("argon", (record,)), search)


@pytest.mark.parametrize(
    ("given", "asked", "refused"),
    [
        ({"lattice": Path("a.cif")}, {"pressures_gpa": (5.0,)}, True),
        ({"framework": Path("a.cif")}, {"pressures_gpa": (5.0,)}, True),
        ({"framework": Path("a.cif")}, {"phonons": True}, True),
        ({"framework": Path("a.cif")}, {"phonons": True, "phonon": PhononSettings(follow=False)}, False),
        ({"lattice": Path("a.cif")}, {"phonons": True}, False),  # followed within the lattice
        ({"lattice": Path("a.cif"), "hold": False}, {"pressures_gpa": (5.0,)}, False),
        ({"spacegroup": 225}, {"phonons": True, "pressures_gpa": (5.0,)}, False),
    ],
)
def test_what_is_to_stay_is_not_changed_by_pressure_or_soft_modes(
    given: dict[str, Any], asked: dict[str, Any], refused: bool
) -> None:
    with pytest.raises(GivenStructureError, match="--free") if refused else nullcontext():
        check_given(GivenStructure(**given), DiagnosticsSettings(**asked))


def test_a_soft_mode_is_followed_within_a_given_lattice(tmp_path: Path) -> None:
    simple = Crystal(2.5 * np.eye(3), np.zeros((1, 3)), np.array([29]))  # which copper is unstable in
    file, ranked = tmp_path / "simple.cif", tmp_path / CANDIDATES
    simple.to_pymatgen().to(str(file))
    energy = emt().compute([simple])[0]
    assert isinstance(energy, PotentialResult)
    save_candidates([candidate("sc", simple, energy.energy, energy_identity=emt().identity)], ranked)
    free = context(tmp_path / "search", emt())
    held = replace(free, settings=free.settings.model_copy(update={"given": GivenStructure(lattice=file)}))
    found = [load_candidates(phonon_stage("sc", str(ranked), where).file(FOUND)) for where in (free, held)]
    volumes = [[c.crystal.volume / c.crystal.n_atoms for c in items] for items in found]
    assert all(volumes)
    assert not np.allclose(volumes[0], 2.5**3, rtol=1e-3)
    assert np.allclose(volumes[1], 2.5**3, rtol=1e-9)


@pytest.fixture
def ranked(tmp_path: Path) -> StageRecord:
    """A ranking as `rank_stage` leaves it."""
    folder = tmp_path / "ranked"
    folder.mkdir()
    save_candidates([c.replace(spacegroup_before=123) for c in argon()], folder / CANDIDATES)
    info = {"n_asked": 3, "n_ok": 2, "n_failed": 1, "n_merged": 0, "reasons": {}, "stages": {"relax": 1.0}, "notes": []}
    (folder / INFO).write_text(json.dumps(info))
    return StageRecord("rank", "k", str(folder))


def test_the_lowest_of_each_formula_are_chosen() -> None:
    names = [c.id for c in chosen(argon(), 1)["Ar"]]
    assert names == ["bcc"]
    assert phonon_targets(argon(), SETTINGS) == ["bcc", "sc"]
    assert pressure_targets(argon(), SETTINGS) == ["Ar"]
    assert phonon_targets(argon(), DiagnosticsSettings()) == []
    assert pressure_targets(argon(), DiagnosticsSettings()) == []
    assert not DiagnosticsSettings().active


def test_a_soft_mode_ends_in_a_new_candidate_that_is_ranked(tmp_path: Path, ranked: StageRecord) -> None:
    search = context(tmp_path, LennardJonesPotential())
    record = phonon_stage("sc", str(ranked.file(CANDIDATES)), search)
    assert record.counts == {"n_asked": 1, "n_ok": 1, "n_failed": 0, "n_found": 1}
    judged, found = merge_diagnoses(argon(), [record])
    assert judged[1].extras["phonons"]["stable"] is False
    assert judged[1].cost["phonons_s"] > 0
    assert "phonons" not in judged[0].extras
    assert [c.id for c in found] == ["sc-soft"]
    assert diagnosis_notes([record]) == ["Imaginary modes led to a lower structure, ranked with the others."]
    answer = page_of(ranked, record, search)
    assert answer.counts["n_asked"] == 4
    assert answer.counts["n_ok"] + answer.counts["n_failed"] == 4
    final = load_candidates(answer.file(CANDIDATES))
    names = [next(n for n in ("sc-soft", c.id) if n in (c.id, *c.merged_ids)) for c in final]
    assert names.index("sc-soft") < names.index("sc")
    assert answer.counts["n_merged"] == 3 - sum(c.usable for c in final)


def test_a_mode_that_was_followed_before_gets_the_prior_of_this_run(tmp_path: Path, ranked: StageRecord) -> None:
    """Another library changes priors and names, but no structure: the phonons are found again."""
    search = context(tmp_path, LennardJonesPotential())
    first = phonon_stage("sc", str(ranked.file(CANDIDATES)), search)
    now = [c.replace(log_prior=-1.0, display_formula="Ar2", judged=True) for c in argon()]
    save_candidates(now, tmp_path / "now.parquet")
    again = phonon_stage("sc", str(tmp_path / "now.parquet"), search)
    assert again == first
    (found,) = merge_diagnoses(now, [again])[1]
    assert (found.log_prior, found.judged, found.display_formula) == (-1.0 + LEFT_PRIOR, True, "Ar2")


def test_forces_of_another_potential_judge_but_do_not_rank() -> None:
    class Other(LennardJonesPotential):
        identity = "another"

    potential = LennardJonesPotential()
    before = next(c for c in argon() if c.id == "sc")
    judged, found = gate(before, potential, Other(), SETTINGS)
    assert judged.extras["phonons"]["potential"] == "another"
    assert judged.energy_per_atom == before.energy_per_atom
    assert judged.energy_identity == potential.identity
    assert [(c.id, c.energy_identity) for c in found] == [("sc-soft", potential.identity)]

    class Broken(Other):
        identity = "broken"

        def compute(self, crystals):
            return [PotentialFailure("no such chemistry") for _ in crystals]

    facts = gate(before, potential, Broken(), SETTINGS)[0].extras["phonons"]
    assert facts["stable"] is None
    assert "potential_failed" in facts["reason"]


def test_pressure_gives_every_candidate_its_enthalpies(tmp_path: Path, ranked: StageRecord) -> None:
    search = context(tmp_path, LennardJonesPotential())
    record = pressure_stage("Ar", str(ranked.file(CANDIDATES)), search)
    assert record.counts["n_asked"] == 4
    judged, found = merge_diagnoses(argon(), [record])
    assert found == []
    curve = judged[0].extras["pressure"]
    assert [e["gpa"] for e in curve] == [0.0, 5.0]
    assert curve[1]["volume_per_atom"] < curve[0]["volume_per_atom"]
    page = page_of(ranked, record, search).file("report") / "index.html"
    assert '"pressure":[{' in page.read_text()


def test_the_densest_known_structures_are_taken_under_pressure_though_nobody_judged_them() -> None:
    """Lowest first without pressure; of the others the known ones, densest first, and nothing else."""
    cubes = {"best": 4.0, "open": 5.0, "dense": 3.2, "denser": 3.0, "guess": 2.9}
    items = [
        candidate(
            name,
            Crystal(a * np.eye(3), np.zeros((1, 3)), np.array([18])),
            -1.0 if name == "best" else None,
            origin="template" if name == "guess" else "known",
            relaxation_status="converged" if name == "best" else "not_relaxed",
        )
        for name, a in cubes.items()
    ]
    one = SETTINGS.model_copy(update={"n_pressure": 2})
    assert [c.id for c in under_pressure(items, one)["Ar"]] == ["best", "denser", "dense"]
    stretched = SETTINGS.model_copy(update={"n_pressure": 2, "pressures_gpa": (-1.0, 0.0)})
    assert [c.id for c in under_pressure(items, stretched)["Ar"]] == ["best"]


def test_finished_stages_are_found_again(tmp_path: Path, ranked: StageRecord) -> None:
    class Unwilling(LennardJonesPotential):
        def compute(self, _):
            raise AssertionError("finished work was repeated")

    path = str(ranked.file(CANDIDATES))
    other = SETTINGS.model_copy(update={"relax": RelaxSettings(max_steps=41)})
    for stage, name in ((phonon_stage, "bcc"), (pressure_stage, "Ar")):
        first = stage(name, path, context(tmp_path, LennardJonesPotential()))
        assert stage(name, path, context(tmp_path, Unwilling())) == first
        with pytest.raises(AssertionError, match="repeated"):
            stage(name, path, context(tmp_path, Unwilling(), other))


def test_pressures_are_ordered_and_bounded() -> None:
    assert DiagnosticsSettings(pressures_gpa=(10, 0, 10)).pressures_gpa == (0, 10)
    with pytest.raises(ValidationError, match="pressures are in GPa"):
        DiagnosticsSettings(pressures_gpa=(float("nan"),))
    with pytest.raises(ValidationError, match="give pressures_gpa instead"):
        DiagnosticsSettings(pressures_gpa=(0, 10), relax=RelaxSettings(pressure_gpa=5))


def test_forces_that_were_not_tested_make_no_phonons(tmp_path: Path, ranked: StageRecord) -> None:
    folder = untested_predictor(tmp_path / "untested")
    with pytest.raises(PhononError, match="gives crystals false imaginary modes: name other forces"):
        phonon_stage("sc", str(ranked.file(CANDIDATES)), context(tmp_path, DaoPotential.load(folder)))
    named = SETTINGS.model_copy(update={"phonon_potential": str(folder)})
    with pytest.raises(PhononError, match="dao-predictor"):
        phonon_forces(SearchModels(LennardJonesPotential()), named)
    assert DaoPotential.load().phonon_refusal is None  # what ships was tested


def test_what_a_mode_led_to_is_counted_as_it_ended_and_others_keep_their_first_space_group(
    tmp_path: Path, ranked: StageRecord
) -> None:
    """A new structure of which the potential of the ranking has no energy is a failure, not a duplicate."""
    record = _found(tmp_path / "lost", [candidate("sc-soft", SIMPLE_CUBIC, None, relaxation_status="potential_failed")])
    answer = page_of(ranked, record, context(tmp_path, LennardJonesPotential()))
    assert answer.counts == {"n_asked": 4, "n_ok": 2, "n_failed": 2, "n_merged": 0, "n_distinct": 4}
    info = json.loads(answer.file(INFO).read_text())
    assert info["reasons"] == {"potential_failed": 1}
    found = {c.id: c for c in load_candidates(answer.file(CANDIDATES))}
    assert found["bcc"].spacegroup_before == 123  # as the ranking says it


def _found(folder: Path, new: list[Candidate]) -> StageRecord:
    """A stage of diagnostics that led to new candidates."""
    folder.mkdir()
    save_candidates([], folder / JUDGED)
    save_candidates(new, folder / FOUND)
    return StageRecord("phonons", "f", str(folder), facts={"kind": "phonons", "seconds": 1.0})
