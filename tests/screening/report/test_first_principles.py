"""What a validation puts into a page: energies, magnetism, electrons; repeated it changes nothing."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dao_core.screening.report.first_principles import add_first_principles, first_principles
from dao_core.screening.report.page import PageError, read_data, write_report
from dao_core.screening.report.page_data import ReportInfo
from tests.helpers.candidates import candidate, rocksalt
from tests.helpers.validated import magnetic, properties, validation


@pytest.fixture
def page(tmp_path: Path) -> Path:
    info = ReportInfo(title="NaCl", stages={"relax": 2.0})
    items = [candidate("best", rocksalt(), cost={"relax_s": 1.0}), candidate("other", rocksalt(length=6.0))]
    return write_report(items, tmp_path, info=info)


def test_only_the_validated_candidate_gets_it(page: Path) -> None:
    record = first_principles(validation(rocksalt()), properties(rocksalt()))
    assert add_first_principles(page, {"best": record, "nobody": record}) == 1
    best, other = read_data(page)["candidates"]
    assert "dft" not in other
    assert best["dft"]["formation_energy"] == -1.9
    assert [s["part"] for s in best["dft"]["sections"]] == ["bands", "states", "elf", "phonons", "dispersion"]
    assert best["cost"]["relax_s"] == 1.0
    assert best["cost"]["pw.x: vc-relax_s"] == 10.0


def test_costs_of_all_validations_add_up_and_stay_when_repeated(page: Path) -> None:
    record = first_principles(validation(rocksalt()), properties(rocksalt()))
    add_first_principles(page, {"best": record})
    add_first_principles(page, {"other": record})
    once = page.read_text()
    stages = read_data(page)["info"]["stages"]
    assert stages["relax"] == 2.0
    assert stages["pw.x: magnetic orderings"] == 4.0
    assert stages["pw.x: elements"] == 6.0
    assert stages["pw.x: elf"] == 3.0
    add_first_principles(page, {"best": record, "other": record})
    assert page.read_text() == once


def test_energies_start_at_the_valence_band_and_corners_stay_on_the_path() -> None:
    shown = {
        s["part"]: s["data"] for s in first_principles(validation(rocksalt()), properties(rocksalt(), 999))["sections"]
    }
    bands = shown["bands"]
    assert max(bands["branches"][0][0]) == pytest.approx(0.0, abs=1e-3)
    assert min(bands["branches"][0][1]) == pytest.approx(5.0, abs=1e-3)
    assert len(bands["distances"]) < 260
    assert {0.0, 2.0} <= set(bands["distances"])
    assert min(abs(x - 1.0) for x in bands["distances"]) < 2e-3
    assert len(bands["branches"][0][0]) == len(bands["distances"])
    states = shown["states"]
    assert len(states["energies"]) == len(states["total"][0]) == len(states["projected"]["Cl p"][0]) <= 500
    assert states["energies"][int(np.argmax(states["total"][0]))] == pytest.approx(-0.5, abs=0.05)
    assert shown["dispersion"]["branches"][0][0][0] == pytest.approx(1.0)  # frequencies have their own zero


def test_the_grid_of_the_elf_survives_as_text() -> None:
    elf = first_principles(validation(rocksalt()), properties(rocksalt()))["sections"][2]["data"]
    values = np.frombuffer(base64.b64decode(elf["grid"]), dtype=np.uint8).reshape(elf["shape"])
    assert np.unravel_index(values.argmax(), values.shape) == (6, 6, 6)
    assert elf["maxima"][0]["kind"] == "interstitial"


def test_magnetism_and_u_are_said() -> None:
    crystal = rocksalt("Ni", "O", 4.18)
    record = first_principles(validation(crystal, **magnetic()))
    assert record["hubbard"] == "U(Ni-3d 6.2)"
    assert [o["above_lowest"] for o in record["magnetism"]["orderings"]] == [0.02, 0.0]
    assert record["magnetism"]["sites"] == [
        {"symbol": "Ni", "start": 2.0, "final": 1.7}, {"symbol": "O", "start": 0.0, "final": 0.1},
    ]  # fmt: skip
    assert json.dumps(record)


def test_a_failed_validation_shows_why(page: Path) -> None:
    failed = replace(validation(rocksalt()), status="timeout", message="vc-relax: over 60 s")
    add_first_principles(page, {"best": first_principles(failed)})
    shown = read_data(page)["candidates"][0]["dft"]
    assert (shown["status"], shown["message"]) == ("timeout", "vc-relax: over 60 s")
    assert shown["structure"] is None


@pytest.mark.parametrize("text", ["<html></html>", '<script type="application/json" id="data">{"a": 1</script>'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "index.html"
    path.write_text(text)
    with pytest.raises(PageError, match=r"index\.html"):
        add_first_principles(path, {})
    assert path.read_text() == text
