"""The table of the best candidates: which space group and density a row is given."""

from __future__ import annotations

import pytest

from dao_core.screening.candidate import NOT_RELAXED
from flows.cli.candidate_table import candidate_table
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
