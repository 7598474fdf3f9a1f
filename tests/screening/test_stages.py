from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from ase.calculators.emt import EMT

from dao_core.artifacts import StageRecord
from dao_core.energy.adapters.ase import AsePotential
from dao_core.energy.relaxation.settings import RelaxSettings
from dao_core.screening.candidate import Candidate
from dao_core.screening.candidate_table import StoredCandidatesError, load_candidates, save_candidates
from dao_core.screening.context import SearchContext
from dao_core.screening.formulas import parse_formula
from dao_core.screening.load_models import SearchModels
from dao_core.screening.proposed import KNOWN
from dao_core.screening.rank_stages import ReportRequest, rank_stage, report_stage
from dao_core.screening.search import Conductor
from dao_core.screening.settings import SearchSettings
from dao_core.screening.stages import (
    CANDIDATES,
    FormulaRecords,
    Piece,
    gather,
    judge_stage,
    propose_stage,
    relax_stage,
)
from tests.helpers.candidates import candidate, rocksalt
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


def test_the_judge_looks_anew_where_an_id_means_something_else(tmp_path: Path) -> None:
    """Two runs may share a ledger: the same id and coordinates, other elements on them, or another first energy."""
    search = context(tmp_path, SearchModels(emt(), judge=AsePotential(EMT, "judge")), SETTINGS)
    crystal = rocksalt("Cu", "Au", 4.6)
    swapped = crystal.replace(atomic_numbers=crystal.atomic_numbers[::-1])
    first = candidate("CuAu-t0000", crystal, -1.0, energy_identity="EMT", energy_kind="total")
    known = {"origin": KNOWN, "library": "test", "library_id": "t-1"}
    others = [
        first.replace(crystal=swapped),
        first.replace(energy_per_atom=-2.0, energy_identity="EMT-2"),
        first.replace(**known),
    ]
    keys = {_judged(c, search).key for c in (first, *others)}
    assert len(keys) == 4
    assert _judged(first.replace(log_prior=-3.0, probability=0.2), search).key in keys
    assert load_candidates(_judged(others[0], search).file(CANDIDATES))[0].crystal.symbols == swapped.symbols


def _judged(c: Candidate, search: SearchContext) -> StageRecord:
    record = _stored([c], search)
    judged = judge_stage(Piece(record, (0,)), search)
    assert judged is not None
    return judged


def _stored(candidates: list[Candidate], search: SearchContext) -> StageRecord:
    """A stage of some candidates."""

    def work(directory: Path) -> dict[str, object]:
        save_candidates(candidates, directory / CANDIDATES)
        return {}

    return search.ledger.run("stored", uuid4().hex, work)


def test_a_formula_typed_in_another_order_is_shown_so_though_the_judge_saw_it_before(tmp_path: Path) -> None:
    judged = SearchModels(emt(), None, models().templates, AsePotential(EMT, "judge"))
    shown = []
    for text in ("CuAu", "AuCu"):
        found = Conductor(context(tmp_path, judged, SETTINGS)).run([parse_formula(text)], text).candidates
        assert any(c.judged for c in found)
        shown.append({c.shown_formula for c in found})
    assert shown == [{"CuAu"}, {"AuCu"}]


def test_a_start_that_stands_beside_its_end_takes_no_place_of_those_to_relax(tmp_path: Path) -> None:
    """Six proposals of which two were relaxed, one away from its start: of four to relax two are left."""
    wanted = SETTINGS.model_copy(update={"max_relaxed": 4})
    search = context(tmp_path, models(), wanted)
    waiting = [
        candidate(f"CuAu-t{i}", rocksalt("Cu", "Au", 4.5 + 0.1 * i), None, relaxation_status="not_relaxed")
        for i in range(6)
    ]
    done = [
        candidate("CuAu-t0", rocksalt("Cu", "Au", 4.5)),
        candidate("CuAu-t0-start", rocksalt("Cu", "Au", 4.4), relaxation_status="start"),
        candidate("CuAu-t1", rocksalt("Cu", "Au", 4.6)),
    ]
    records = FormulaRecords("CuAu", (_stored(waiting, search),), (_stored(done, search),))
    pieces = Conductor(search)._relaxation_pieces(records, None)
    assert [c.id for p in pieces for c in p.candidates] == ["CuAu-t2", "CuAu-t3"]
