"""The loop closes: what pw.x validated becomes rows of CrysDB, with a hull of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dao_core.artifacts import Ledger
from dao_core.crysdb.build.build import build
from dao_core.crysdb.build.update import update
from dao_core.crysdb.config import BuildConfig, FilesConfig
from dao_core.crysdb.sources.files import FileSource
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.table import CrysTable
from dao_core.crystal import Crystal
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.settings import DftSettings
from dao_core.dft.to_crysdb import FeedbackError, collect_rows, feed_back, ledger_records, to_record, write_rows
from dao_core.dft.validate import ValidationResult, ValidationRun, validate_crystal
from tests.helpers.records import ListSource, salt_records

CONFIG = BuildConfig(benchmarks=(), workers=1, clean=CleanSettings(min_atoms=1))


@pytest.fixture
def validated(settings: DftSettings, plan: Callable[..., Path], tmp_path: Path, si: Crystal) -> ValidationResult:
    plan()
    used = settings.model_copy(update={"elements": True})
    launcher = LocalLauncher(used, poll_seconds=0.02)
    result = validate_crystal(si, ValidationRun(used, tmp_path / "ledger", launcher), material_id="Si-g0001")
    assert result.ok
    return result


def test_rows_come_from_the_ledger_with_their_parent_and_their_elements(
    validated: ValidationResult, tmp_path: Path
) -> None:
    rows = ledger_records(Ledger(tmp_path / "ledger"), validated.functional)
    mine = to_record(validated)
    row = next(r for r in rows if r.material_id == mine.material_id)
    assert row.parent_id == "Si-g0001"
    assert row.energy_per_atom == mine.energy_per_atom
    assert row.forces is not None
    assert (row.forces == mine.forces).all()
    assert {r.functional for r in rows} == {validated.functional}
    assert {r.source for r in rows} == {"qe"}
    assert ledger_records(Ledger(tmp_path / "ledger"), "PBE|QE|test-1|balanced") == []


def test_rows_reach_a_built_database_and_stay_at_the_next_turn(validated: ValidationResult, tmp_path: Path) -> None:
    root = tmp_path / "crysdb"
    build(CONFIG, root, sources=[ListSource(salt_records())])
    before = CrysTable(root / "table").read().num_rows
    rows = ledger_records(Ledger(tmp_path / "ledger"), validated.functional)
    path = write_rows(rows, tmp_path / "qe.parquet")
    report = feed_back(path, root, CONFIG)
    assert (report.n_new, report.n_gone, report.n_refused) == (len(rows), 0, 0)
    table = CrysTable(root / "table")
    assert table.read().num_rows == before + len(rows)
    found = table.read(["material_id", "e_above_hull"], [("source", "==", "qe")]).to_pylist()
    assert {r["material_id"] for r in found} == {r.material_id for r in rows}
    assert all(r["e_above_hull"] is not None for r in found)  # QE's own hull: its element is there
    again = feed_back(path, root, CONFIG)
    assert (again.n_new, again.n_changed, again.version) == (0, 0, report.version)


def test_the_file_of_rows_is_a_source_for_the_next_build(validated: ValidationResult, tmp_path: Path) -> None:
    path = write_rows(ledger_records(Ledger(tmp_path / "ledger"), validated.functional), tmp_path / "qe.parquet")
    source = FilesConfig(name="qe", paths=(path,), functional=validated.functional)
    report = build(CONFIG.model_copy(update={"sources": (source,)}), tmp_path / "crysdb")
    assert report.sources["qe"]["n_published"] >= 1


@pytest.mark.parametrize("again", [build, update])
def test_rows_that_were_fed_back_are_still_there_after_a_rebuild_or_a_full_update(
    validated: ValidationResult, tmp_path: Path, again: Callable[..., Any]
) -> None:
    root, salts = tmp_path / "crysdb", ListSource(salt_records())
    build(CONFIG, root, sources=[salts])
    rows = ledger_records(Ledger(tmp_path / "ledger"), validated.functional)
    feed_back(write_rows(rows, tmp_path / "qe.parquet"), root, CONFIG)
    before = CrysTable(root / "table").read().sort_by("material_id")
    report = again(CONFIG, root, sources=[salts])
    assert report.sources["qe"]["n_published"] == len(rows)
    assert CrysTable(root / "table").read().sort_by("material_id").equals(before)


def test_rows_that_were_fed_back_may_become_a_source_of_the_next_build(
    validated: ValidationResult, tmp_path: Path
) -> None:
    root, salts = tmp_path / "crysdb", ListSource(salt_records())
    build(CONFIG, root, sources=[salts])
    path = write_rows(ledger_records(Ledger(tmp_path / "ledger"), validated.functional), tmp_path / "qe.parquet")
    feed_back(path, root, CONFIG)
    before = CrysTable(root / "table").facts()["sources"]["qe"]["n_published"]
    qe = FileSource(path, FilesConfig(name="qe", paths=(path,), functional=validated.functional).options())
    assert build(CONFIG, root, sources=[salts, qe]).sources["qe"]["n_published"] == before


def test_protocols_that_are_not_there_are_a_problem_and_no_error(
    validated: ValidationResult, settings: DftSettings, tmp_path: Path
) -> None:
    lost = settings.model_copy(update={"protocols_file": tmp_path / "gone.yaml"})
    rows = collect_rows(Ledger(tmp_path / "ledger"), lost)
    assert (validated.ok, rows.n_rows) == (True, 0)
    assert "cannot read the protocols" in rows.problem


def test_another_level_of_the_same_source_is_refused(validated: ValidationResult, tmp_path: Path) -> None:
    root = tmp_path / "crysdb"
    rows = ledger_records(Ledger(tmp_path / "ledger"), validated.functional)
    source = FilesConfig(name="qe", paths=(write_rows(rows, tmp_path / "qe.parquet"),), functional=validated.functional)
    build(CONFIG.model_copy(update={"sources": (source,)}), root)
    for row in rows:
        row.functional = "PBE|QE|test-1|balanced"
    with pytest.raises(FeedbackError, match="give the source another name"):
        feed_back(write_rows(rows, tmp_path / "other.parquet"), root, CONFIG)
