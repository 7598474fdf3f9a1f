"""The study of properties: paired figures from rows, parts, settings that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from dao_core.studies.properties.models import MODELS
from dao_core.studies.properties.settings import PropertyStudySettings
from dao_core.studies.properties.study import parts, plot, summarise


def tables(better: float) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    rows = []
    for size in (50, 100):
        base = rng.uniform(1, 2, 30)
        for model in MODELS:
            errors = base - (better if model == "fine-tuned" and size == 100 else 0.0)
            rows += [
                {"target": "band_gap", "size": size, "model": model, "row": i, "error": e} for i, e in enumerate(errors)
            ]
    trainings = [
        {"size": s, "model": m, "cpu_seconds": 1.0, "epochs": 2, "target": "band_gap"}
        for s in (50, 100)
        for m in MODELS
    ]
    return {"errors": pd.DataFrame(rows), "trainings": pd.DataFrame(trainings)}


def test_the_advantage_is_paired_over_rows_at_the_largest_size(tmp_path: Path) -> None:
    settings = PropertyStudySettings(sizes=(50, 100))
    report = summarise(tables(0.1), settings, {})
    found = report["targets"]["band_gap"]
    # a constant advantage has no spread when it is paired, though the errors themselves spread widely
    for gap in found["fine_tuned_less"].values():
        assert gap["mean"] == pytest.approx(-0.1)
        assert gap["interval"] == pytest.approx([-0.1, -0.1])
    assert (report["n_targets"], report["n_best"], report["n_clearly_best"]) == (1, 1, 1)
    low, high = found["curves"]["trees"][0]["interval"]
    assert low < found["curves"]["trees"][0]["mae"] < high
    plot({}, report, tmp_path)
    assert (tmp_path / "properties.png").stat().st_size > 1000


def test_an_equal_or_worse_model_is_not_best() -> None:
    report = summarise(tables(-0.1), PropertyStudySettings(sizes=(50, 100)), {})
    assert (report["n_best"], report["n_clearly_best"]) == (0, 0)


def test_a_row_that_one_model_fails_on_is_compared_by_none() -> None:
    given = tables(0.1)
    errors = given["errors"]
    errors.loc[(errors["model"] == "cgcnn") & (errors["size"] == 100) & (errors["row"] == 3), "error"] = None
    found = summarise(given, PropertyStudySettings(sizes=(50, 100)), {})["targets"]["band_gap"]
    assert found["n"] == 29
    assert (found["curves"]["cgcnn"][1]["n_ok"], found["curves"]["cgcnn"][1]["n_failed"]) == (29, 1)


def test_the_deciding_size_comes_first() -> None:
    settings = PropertyStudySettings(targets=("band_gap", "bulk_modulus"), sizes=(50, 100))
    assert parts(settings, Path())[:2] == ["band_gap 100", "bulk_modulus 100"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ["tc"]}, "tc: choose of formation_energy_per_atom"),
        ({"targets": []}, "no target: choose of"),
        ({"sizes": [200, 100]}, "rising numbers of training rows"),
        ({"sizes": [4]}, "at least 8"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PropertyStudySettings.model_validate(changes)
