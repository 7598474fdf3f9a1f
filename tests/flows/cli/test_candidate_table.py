"""The table of the best candidates: which space group and density a row is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dao_core.screening.candidate import NOT_RELAXED, Candidate
from flows.cli.candidate_table import _values, candidate_table
from flows.cli.console import json_output
from tests.helpers.candidates import candidate, perovskite

LISTED = {"origin": "known", "library": "test", "library_id": "t-1", "library_spacegroup": 221, "spacegroup_after": 123}


def printed(capsys: pytest.CaptureFixture[str], **fields: object) -> str:
    candidate_table([candidate("a", perovskite(), -1.0, **{**LISTED, **fields})], limit=1)
    return " ".join(capsys.readouterr().out.split())


def test_what_a_relaxation_changed_is_shown_with_the_group_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert "P4/mmm (123), known as Pm-3m" in printed(capsys)


def test_a_known_structure_that_nobody_has_relaxed_has_the_library_s_group(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, relaxation_status=NOT_RELAXED)
    assert "Pm-3m (221)" in shown
    assert "known as" not in shown


def test_a_row_has_its_density(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys)
    assert "space group g/cm³" in shown
    assert f"known as Pm-3m {candidate('a', perovskite()).density:.2f}" in shown


def as_json(capsys: pytest.CaptureFixture[str], *rows: Candidate) -> list[dict[str, object]]:
    with json_output(["--json"]):
        candidate_table(rows, limit=len(rows))
    listed: list[dict[str, object]] = json.loads(capsys.readouterr().out)["tables"][0]["rows"]
    return listed


def test_json_has_what_the_table_and_the_page_have(capsys: pytest.CaptureFixture[str]) -> None:
    named = {"mineral": "tausonite", "n_measured": 3, "library_e_above_hull": 0.01, "display_formula": "TiSrO3"}
    first = candidate("a", perovskite(), -1.0, r2scan_shift=0.2, **{**LISTED, **named})
    template = candidate("b", perovskite(length=4.1), -0.75, provenance={"template_id": "t-7"})
    seeded = candidate("c", perovskite(length=4.2), -0.5, provenance={"start": "template t-8"})
    a, b, c = as_json(capsys, first, template, seeded)
    assert {k: a[k] for k in ("id", "formula", "shown_formula", "library_id", "mineral", "n_measured")} == {
        "id": "a", "formula": "SrTiO3", "shown_formula": "TiSrO3", "library_id": "t-1", "mineral": "tausonite",
        "n_measured": 3,
    }  # fmt: skip
    assert (a["spacegroup_after"], a["library_spacegroup"], a["library_e_above_hull"]) == (123, 221, 0.01)
    assert (a["r2scan_shift"], a["density"], a["above_lowest"]) == (0.2, first.density, 0.0)
    assert (a["template_id"], b["template_id"], c["template_id"]) == (None, "t-7", "t-8")
    assert b["above_lowest"] == 0.25
    assert b["shown_formula"] == "SrTiO3"


def test_json_gives_what_nobody_has_relaxed_the_library_s_group(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = as_json(capsys, candidate("a", perovskite(), None, relaxation_status=NOT_RELAXED, **LISTED))
    assert row["spacegroup_after"] == row["library_spacegroup"] == 221


def test_every_field_of_json_is_explained() -> None:
    row = _values(1, candidate("a", perovskite()), None)
    page = (Path(__file__).resolve().parents[3] / "docs" / "reading-an-answer.md").read_text()
    assert [name for name in row if f"`{name}`" not in page] == []
