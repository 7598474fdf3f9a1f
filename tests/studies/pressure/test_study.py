"""The study of pressure: parts, the judgement of a transition, what happens where the judge gives up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from dao_core.studies.pressure.settings import PressureSettings
from dao_core.studies.pressure.study import parts, plot, summarise

SETTINGS = PressureSettings.model_validate({"transitions": ["NaCl"]})


def curves(shift: float = 0.0, *, without: str = "") -> pd.DataFrame:
    """B2 lies 0.12 eV above B1 at no pressure and gains 0.004 eV a GPa: they cross at 30 GPa."""
    rows = []
    for gpa in (0.0, 17.0, 34.0):
        for name, enthalpy, volume in (("B1", 0.1 * gpa, 16.0), ("B2", 0.12 + shift + 0.096 * gpa, 16.0 - 0.6409)):
            usable = name != without
            rows.append({
                "transition": "NaCl", "phase": name, "gpa": gpa, "status": "converged",
                "enthalpy_per_atom": enthalpy if usable else np.nan, "volume_per_atom": volume if usable else np.nan,
            })  # fmt: skip
    return pd.DataFrame(rows)


def test_a_transition_is_judged_against_the_published_pressure() -> None:
    report = summarise({"curves": curves()}, SETTINGS, {})
    found = report["transitions"]["NaCl"]
    assert found["gpa"] == pytest.approx(30.0, abs=0.05)
    assert found["inside"]
    assert found["within"]
    assert report["n_within"] == 1
    far = summarise({"curves": curves(0.2)}, SETTINGS, {})["transitions"]["NaCl"]
    assert far["gpa"] == pytest.approx(80.0, abs=0.2)
    assert not far["inside"]
    assert not far["within"]


def test_a_measured_pressure_is_reported_and_not_counted() -> None:
    both = PressureSettings.model_validate({"transitions": ["NaCl", "CaCO3"]})
    names = {"NaCl": "CaCO3", "B1": "calcite", "B2": "aragonite"}
    report = summarise({"curves": pd.concat([curves(), curves().replace(names)])}, both, {})
    assert report["transitions"]["CaCO3"]["gpa"] == pytest.approx(30.0, abs=0.05)
    assert (report["n_within"], report["n_transitions"]) == (1, 1)


def test_without_enthalpies_there_is_no_pressure_and_a_reason() -> None:
    found = summarise({"curves": curves(without="B2")}, SETTINGS, {})["transitions"]["NaCl"]
    assert found["gpa"] is None
    assert not found["within"]
    assert found["reason"] == "too few relaxations ended"


def test_the_hydride_counts_what_was_proposed() -> None:
    hydride = pd.DataFrame([
        {"arm": "framework", "rank": 0, "found": True, "rms": 0.1, "reason": "matched", "cpu_seconds": 1.0},
        {"arm": "framework", "rank": 1, "found": False, "rms": np.nan, "reason": "sites", "cpu_seconds": 3.0},
        {"arm": "templates", "rank": -1, "found": False, "rms": np.nan, "reason": "nothing proposed", "cpu_seconds": 0},
    ])  # fmt: skip
    report = summarise({"curves": curves(), "hydride": hydride}, SETTINGS, {})["hydride"]
    assert (report["framework"]["n"], report["framework"]["found"]) == (2, 1)
    assert report["framework"]["best_rms"] == pytest.approx(0.1)
    assert report["templates"] == {"n": 0, "found": 0, "reason": "nothing proposed"}


def test_parts_name_every_phase_once() -> None:
    names = parts(SETTINGS, Path())
    assert names == ["NaCl B1", "NaCl B2", "hydride framework", "hydride templates", "hydride symmetry", "phonons"]
    no_hydride = SETTINGS.model_copy(update={"hydride": SETTINGS.hydride.model_copy(update={"n": 0})})
    assert parts(no_hydride, Path()) == ["NaCl B1", "NaCl B2"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"transitions": ["XeF2"]}, "XeF2: choose of Si, NaCl"),
        ({"transitions": []}, "no transition"),
        ({"fractions": [0.5]}, "at least two"),
        ({"fractions": [0.5, 0.1]}, "ascending"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PressureSettings.model_validate(wrong)


def test_the_picture_is_written_where_a_curve_is_missing_too(tmp_path: Path) -> None:
    tables = {"curves": curves(without="B2")}
    plot(tables, summarise(tables, SETTINGS, {}), tmp_path)
    assert (tmp_path / "pressure.png").stat().st_size > 1000
