"""The study from files to rows: compositions of the test halves, what was seen stays out, templates of others match."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from dao_core.crystal import Crystal
from dao_core.generate.templates.index import TemplateIndex
from dao_core.studies.polymorphs import study
from dao_core.studies.polymorphs.settings import PolymorphSettings
from dao_core.studies.study import StudyError
from tests.helpers.benchmark_targets import cesium_chloride, perovskite, rocksalt

OWN = [("x1", rocksalt(11, 17)), ("x2", cesium_chloride(11, 17)), ("x3", rocksalt(19, 35)), ("x4", perovskite())]
OTHER = [("y1", rocksalt(37, 53, 7.3)), ("y2", cesium_chloride(37, 53))]


def write(path: Path, rows: list[tuple[str, Crystal]], **columns: list[float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({
        "material_id": [name for name, _ in rows],
        "lattice": [c.lattice.ravel() for _, c in rows],
        "frac_coords": [c.frac_coords.ravel() for _, c in rows],
        "atomic_numbers": [c.atomic_numbers for _, c in rows],
        **columns,
    }).to_parquet(path)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "mp_20" / "test_public.parquet", OWN)
    write(tmp_path / "mpts_52" / "test_public.parquet", OTHER)
    write(tmp_path / "mp_20" / "train.parquet", [("t", rocksalt(37, 53, 7.0)), ("u", rocksalt(3, 9, 4.0))])
    return tmp_path


@pytest.fixture
def templates(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [*OWN, ("z1", rocksalt(3, 9, 4.0)), ("z2", cesium_chloride(55, 35))]
    index = TemplateIndex.build(known, source="test")
    monkeypatch.setattr(study, "library_templates", lambda _: index)


def settings(data: Path, **changes: object) -> PolymorphSettings:
    return PolymorphSettings.model_validate(
        {"data": data, "k": 2, "named": [], "random": {"compositions": 0}, **changes}
    )


def test_what_the_generator_has_seen_gets_templates_alone(data: Path, tmp_path: Path) -> None:
    facts = study.prepare(settings(data), tmp_path)
    assert facts["in_test_halves"] == {"2": 2}
    assert facts["unseen_by_dao_g"] == {"2": 1}
    assert facts["left_out"]["seen_in_training"] == 1
    assert facts["leak_audit_of_training"][0]["rows_structure"] == 1
    assert study.parts(settings(data), tmp_path) == ["templates RbI", "sampled NaCl"]
    assert study.parts(settings(data, random={"compositions": 1}), tmp_path)[1] == "random NaCl"


def test_templates_of_other_compositions_find_both_polymorphs(
    data: Path,
    tmp_path: Path,
    templates: None,  # noqa: ARG001
) -> None:
    chosen = settings(data)
    study.prepare(chosen, tmp_path)
    tables = study.measure("templates RbI", chosen, tmp_path)
    assert [row["n_references"] for row in tables["arms"]] == [2]
    found = {row["reference"] for row in tables["matches"] if row["rms"] is not None}
    assert found == {"y1", "y2"}
    assert json.dumps(tables)  # rows are plain values


def test_without_any_composition_the_study_says_so(data: Path, tmp_path: Path) -> None:
    write(data / "mp_20" / "train.parquet", [*OWN, *OTHER])
    with pytest.raises(StudyError, match="no composition with several structures is left"):
        study.prepare(settings(data), tmp_path)
