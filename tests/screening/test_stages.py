from __future__ import annotations

from pathlib import Path

import pytest
from ase.calculators.emt import EMT

from dao_core.artifacts import StageRecord
from dao_core.energy.adapters.ase import AsePotential
from dao_core.energy.relaxation.settings import RelaxSettings
from dao_core.screening.candidate_table import StoredCandidatesError, load_candidates, save_candidates
from dao_core.screening.context import SearchContext
from dao_core.screening.formulas import parse_formula
from dao_core.screening.load_models import SearchModels
from dao_core.screening.rank_stages import ReportRequest, rank_stage, report_stage
from dao_core.screening.search import Conductor
from dao_core.screening.settings import SearchSettings
from dao_core.screening.stages import CANDIDATES, FormulaRecords, Piece, gather, propose_stage, relax_stage
from tests.helpers.potentials import emt
from tests.helpers.search_models import context, models

SETTINGS = SearchSettings(
    max_atoms=4, n_generated=0, n_seeded=0, n_templates=3, relax=RelaxSettings(max_steps=5, batch_size=2)
)


def run(search: SearchContext) -> tuple[StageRecord, list[StageRecord]]:
    proposed = propose_stage("CuAu", search)
    assert proposed is not None
    n = proposed.counts["n_ok"]
    pieces = [Piece(proposed, tuple(range(n))[i : i + 2]) for i in range(0, n, 2)]
    return proposed, [r for p in pieces if (r := relax_stage(p, search)) is not None]


def test_stages_make_a_report_and_are_found_again(tmp_path: Path) -> None:
    search = context(tmp_path, models(), SETTINGS)
    proposed, relaxed = run(search)
    records = FormulaRecords("CuAu", (proposed,), tuple(relaxed))
    candidates = gather(records)
    assert len([c for c in candidates if not c.start_kept]) == proposed.counts["n_ok"]
    assert len({c.id for c in candidates}) == len(candidates)
    ranked = rank_stage([records], search)
    assert ranked.counts["n_asked"] == ranked.counts["n_ok"] + ranked.counts["n_failed"]
    report = report_stage(ranked, [records], ReportRequest("test"), search)
    assert report.counts == ranked.counts
    page = (report.file("report") / "index.html").read_text()
    assert '"seed":0' in page
    assert '"relaxation steps":' in page
    assert '"stages":{"propose":' in page

    class Unwilling:
        identity = emt().identity

        def compute(self, _: object) -> list[object]:
            raise AssertionError("finished work was repeated")

    again = context(tmp_path, SearchModels(Unwilling(), None, models().templates), SETTINGS)  # type: ignore[arg-type]
    assert run(again) == (proposed, relaxed)


def test_the_conductor_repeats_nothing_that_is_done(tmp_path: Path) -> None:
    search = context(tmp_path, models(), SETTINGS)
    first = Conductor(search).run([parse_formula("CuAu")], "test")
    written = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("manifest.json")}
    second = Conductor(context(tmp_path, models(), SETTINGS)).run([parse_formula("CuAu")], "test")
    assert second.report == first.report
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("manifest.json")} == written


def test_another_potential_is_another_result(tmp_path: Path) -> None:
    other = SearchModels(AsePotential(EMT, "EMT-2"), None, models().templates)
    proposed, first = run(context(tmp_path, models(), SETTINGS))
    same, second = run(context(tmp_path, other, SETTINGS))
    assert same == proposed  # no energy takes part in it
    assert {r.key for r in first}.isdisjoint(r.key for r in second)


def test_what_was_not_relaxed_stays_as_it_was_proposed(tmp_path: Path) -> None:
    proposed, relaxed = run(context(tmp_path, models(), SETTINGS))
    partly = gather(FormulaRecords("CuAu", (proposed,), tuple(relaxed[:1])))
    waiting = [c for c in partly if c.relaxation_status == "not_relaxed"]
    assert len(waiting) == proposed.counts["n_ok"] - 2
    assert not any(c.rejected for c in waiting)


def test_candidates_are_stored_bit_for_bit(tmp_path: Path) -> None:
    proposed, relaxed = run(context(tmp_path, models(), SETTINGS))
    candidates = gather(FormulaRecords("CuAu", (proposed,), tuple(relaxed)))
    save_candidates(candidates, tmp_path / "c.parquet")
    for before, after in zip(candidates, load_candidates(tmp_path / "c.parquet"), strict=True):
        assert after.crystal.lattice.tobytes() == before.crystal.lattice.tobytes()
        assert after.crystal.frac_coords.tobytes() == before.crystal.frac_coords.tobytes()
        assert after.energy_per_atom == before.energy_per_atom
        assert after.energy_label == before.energy_label
        assert dict(after.provenance) == dict(before.provenance)
    save_candidates([], tmp_path / "none.parquet")
    assert load_candidates(tmp_path / "none.parquet") == []


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    proposed, _ = run(context(tmp_path, models(), SETTINGS))
    data = proposed.file(CANDIDATES).read_bytes()
    (tmp_path / "half.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(StoredCandidatesError, match="run the stage again"):
        load_candidates(tmp_path / "half.parquet")
