"""The stages of a study: finished parts are not measured again, the report has tables, figures and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from dao_core.artifacts import MANIFEST
from dao_core.studies.pressure.settings import PressureSettings
from dao_core.studies.registry import MODULES, load_study
from dao_core.studies.study import StudyError, identity_of
from tasks.studies import REPORT, finished_part, part_stage, parts_of, prepare_stage, report_stage

SETTINGS = PressureSettings.model_validate(
    {"judge": "dao", "transitions": ["NaCl"], "fractions": [0.0, 0.2], "relax_steps": 2, "hydride": {"n": 0}}
)


def test_a_study_goes_on_where_it_was(tmp_path: Path) -> None:
    root = str(tmp_path)
    prepared = prepare_stage(SETTINGS, root)
    names = parts_of(prepared, SETTINGS)
    assert names == ["NaCl B1", "NaCl B2"]
    assert finished_part(names[0], prepared, SETTINGS, root) is None
    done = [part_stage(name, prepared, SETTINGS, root) for name in names]
    assert finished_part(names[0], prepared, SETTINGS, root) == done[0]
    record = report_stage(done, prepared, SETTINGS, root)
    report = json.loads(record.file(REPORT).read_text())
    assert report["run"]["parts"] == report["run"]["of"] == 2
    assert report["n_transitions"] == 1
    curves = pd.read_parquet(record.file("pressure-curves.parquet"))
    assert len(curves) == 4
    assert record.file("pressure.png").exists()
    written = {p: p.stat().st_mtime_ns for p in tmp_path.rglob(MANIFEST)}
    assert [part_stage(name, prepared, SETTINGS, root) for name in names] == done
    assert report_stage(done, prepared, SETTINGS, root) == record
    assert written == {p: p.stat().st_mtime_ns for p in tmp_path.rglob(MANIFEST)}
    elsewhere = SETTINGS.model_copy(update={"data": Path("another/spelling")})
    assert prepare_stage(elsewhere, root) == prepared
    assert finished_part(names[0], prepared, elsewhere, root) == done[0]
    assert report_stage(done, prepared, elsewhere, root) == record
    other = SETTINGS.model_copy(update={"fmax": 0.5})
    assert finished_part(names[0], prepared, other, root) is None


def test_a_report_of_some_parts_says_how_many(tmp_path: Path) -> None:
    prepared = prepare_stage(SETTINGS, str(tmp_path))
    done = [part_stage("NaCl B1", prepared, SETTINGS, str(tmp_path))]
    report = json.loads(report_stage(done, prepared, SETTINGS, str(tmp_path)).file(REPORT).read_text())
    assert (report["run"]["parts"], report["run"]["of"]) == (1, 2)
    assert report["transitions"]["NaCl"]["reason"] == "too few relaxations ended"


def test_every_study_loads_and_an_unknown_one_is_refused() -> None:
    for name in MODULES:
        assert load_study(name).name == name
    with pytest.raises(StudyError, match="no study 'poetry': use one of loop, polymorphs, pressure"):
        load_study("poetry")


def test_missing_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nothing\.parquet is not there"):
        identity_of([tmp_path / "nothing.parquet"])
