"""Held-out crystals: what a generator has seen is refused by name, what was not proposed is no match."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from dao_core.crystal import Crystal
from dao_core.generate.templates.index import TemplateIndex
from dao_core.studies.study import StudyError
from dao_core.studies.superconductors import study
from dao_core.studies.superconductors.crystals import reference
from dao_core.studies.superconductors.settings import SuperconductorSettings
from dao_core.studies.superconductors.study import parts, plot, prepare, summarise
from tests.helpers.structures import rocksalt


def training(folder: Path, crystals: dict[str, Crystal], name: str = "train") -> None:
    pd.DataFrame({
        "material_id": list(crystals),
        "atomic_numbers": [c.atomic_numbers for c in crystals.values()],
        "lattice": [c.lattice.ravel() for c in crystals.values()],
        "frac_coords": [c.frac_coords.ravel() for c in crystals.values()],
    }).to_parquet(folder / f"{name}.parquet")  # fmt: skip


def test_a_held_out_composition_among_the_training_rows_is_refused_with_its_ids(tmp_path: Path) -> None:
    training(tmp_path, {"t1": reference("Cr6Os2")})
    settings = SuperconductorSettings(data=tmp_path, trained_on="train.parquet")
    with pytest.raises(StudyError, match=r"Cr3Os: t1\): name a generator that was trained without them"):
        prepare(settings, tmp_path)


def test_what_the_symmetry_model_has_learned_from_is_drawn_by_the_flow_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training(tmp_path, {"t1": rocksalt()})
    training(tmp_path, {"other": rocksalt()}, "structures")
    (tmp_path / "sources").mkdir()
    training(tmp_path / "sources", {"icsd-1": reference("Cr6Os2")}, "icsd")
    index = TemplateIndex.build([("a15", reference("Cr6Os2")), ("salt", rocksalt())], source="test")
    monkeypatch.setattr(study, "library_templates", lambda _: index)
    monkeypatch.setattr(study, "_generator", lambda _: None)
    monkeypatch.setattr(study, "_seeded", lambda *_: [])
    asked = []
    monkeypatch.setattr(study, "from_dao_g", lambda *_, **changes: asked.append(changes["with_symmetry"]) or [])
    settings = SuperconductorSettings(
        data=tmp_path, library=str(tmp_path), trained_on="train.parquet",
        symmetry_trained_on=("structures.parquet", "icsd"),
    )  # fmt: skip
    facts = prepare(settings, tmp_path)
    assert facts["symmetry_model_left_out"] == {"Cr6Os2": ["icsd-1"]}
    for crystal in ("Cr6Os2", "Zr16Rh8O4"):
        study.measure(crystal, settings, tmp_path)
    assert asked == [False, True]
    (tmp_path / "sources" / "icsd.parquet").unlink()
    with pytest.raises(StudyError, match=r"icsd.parquet is not there: name what the generator was trained on"):
        prepare(settings, tmp_path)


def test_what_was_not_proposed_is_no_match(tmp_path: Path) -> None:
    rows = [
        {"crystal": "Cr6Os2", "arm": "templates", "rank": i, "rms": rms, "reason": "x", "cpu_seconds": 0.1}
        for i, rms in enumerate([np.nan, 0.02, 0.001])
    ]
    rows.append({"crystal": "Cr6Os2", "arm": "dao-g", "rank": -1, "rms": np.nan, "reason": "none", "cpu_seconds": 0.0})
    tables = {"matches": pd.DataFrame(rows)}
    report = summarise(tables, SuperconductorSettings(n=4), {})
    found = report["crystals"]["Cr6Os2"]
    assert (found["templates"]["matches"], found["templates"]["best_rms"]) == (2, 0.001)
    assert found["templates"]["first_match"] == 2
    low, high = found["templates"]["interval"]
    assert 0 < low < 2 < high < 4
    assert (found["dao-g"]["matches"], found["dao-g"]["n_proposed"], found["dao-g"]["best_rms"]) == (0, 0, None)
    plot(tables, report, tmp_path)
    assert (tmp_path / "superconductors.png").stat().st_size > 1000


def test_small_cells_come_first_and_unknown_ones_are_refused() -> None:
    settings = SuperconductorSettings(crystals=("Zr16Rh8O4", "Cr6Os2"))
    assert parts(settings, Path()) == ["Cr6Os2", "Zr16Rh8O4"]
    with pytest.raises(ValidationError, match="YBCO: choose of Cr6Os2"):
        SuperconductorSettings(crystals=("YBCO",))
