"""The stages of a fine-tuning: finished folds are not repeated, the model folder predicts, figures stand beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dao_core.artifacts import MANIFEST
from dao_core.crysdb.table import write_records
from dao_core.crystal import Crystal
from dao_core.energy.property import PropertyModel
from dao_core.training.property_config import PropertySettings
from tasks.finetuning import MODEL, REPORT, fold_stage, model_stage, rows_stage
from tests.helpers.records import record, rocksalt

SETTINGS = PropertySettings.model_validate(
    {"column": "edge", "start": None, "folds": 2, "max_epochs": 2, "batch_size": 8, "model": {
        "kind": "local", "width": 8, "n_blocks": 1, "n_radial": 4, "time_dim": 8, "cutoff": 4.0}}
)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    edges = rng.uniform(2.5, 3.5, 24)
    rows = pd.DataFrame(
        {
            "lattice": [(np.eye(3) * a).ravel() for a in edges],
            "frac_coords": [np.zeros(3)] * 24,
            "atomic_numbers": [np.array([20 + i]) for i in range(24)],
            "edge": [*edges[:23], np.nan],
        }
    )
    rows.to_parquet(tmp_path / "edges.parquet")
    return tmp_path / "edges.parquet"


def test_the_stages_end_with_a_model_that_predicts(data: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "run")
    rows = rows_stage(data, SETTINGS, root)
    assert rows.counts == {"n_ok": 23, "n_failed": 1, "no value": 1}
    folds = [fold_stage(k, rows, SETTINGS, root) for k in range(2)]
    assert sum(f.counts["n"] for f in folds) == 23
    done = model_stage(rows, folds, SETTINGS, root)
    report = json.loads(done.file(REPORT).read_text())
    assert done.counts == {"n_ok": 23, "n_failed": 0}
    assert report["mae"] > 0 < report["mean_baseline"]["mae"]
    model = PropertyModel.load(done.file(MODEL))
    assert len(model.networks) == 2
    seen = min(model.elements[0])
    known, unknown = model.predict([Crystal(np.eye(3) * 3, np.zeros((1, 3)), np.array([z])) for z in (seen, 10)])
    assert known.value is not None
    assert "atomic numbers [10]" in unknown.reason
    written = {p: p.stat().st_mtime_ns for p in Path(root).rglob(MANIFEST)}
    assert model_stage(rows, [fold_stage(k, rows, SETTINGS, root) for k in range(2)], SETTINGS, root) == done
    assert written == {p: p.stat().st_mtime_ns for p in Path(root).rglob(MANIFEST)}


def test_a_table_that_was_built_anew_is_read_anew(tmp_path: Path) -> None:
    root, path = str(tmp_path / "run"), tmp_path / "table"
    settings = SETTINGS.model_copy(update={"column": "energy_per_atom"})
    keys = []
    for edge in (4.0, 5.0):  # both are version 0 of a table at the same place
        shutil.rmtree(path, ignore_errors=True)
        records = [record(f"r{a}", rocksalt(a, "Cl", edge), -3.0) for a in ("Li", "Na", "K")]
        write_records(path, records, facts={"content_hash": f"edge {edge}"})
        keys.append(rows_stage(path, settings, root).key)
    assert keys[0] != keys[1]


def test_other_settings_make_other_folds(data: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "run")
    rows = rows_stage(data, SETTINGS, root)
    first = fold_stage(0, rows, SETTINGS, root)
    other = fold_stage(0, rows, SETTINGS.model_copy(update={"seed": 1}), root)
    assert first.key != other.key
