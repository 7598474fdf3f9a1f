"""Which entries of the AFLOW encyclopedia stand for another compound than their formula, or for none that was seen."""

import json
from pathlib import Path

import pytest

from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal
from dao_core.library.encyclopedia_errata import not_its_formula
from dao_core.library.encyclopedia_source import EncyclopediaSource

WURTZITE = {"parameter_symbols": ["a", "c/a", "z1", "z2"], "parameter_values": [3.82, 1.636, 0.3748, 0.0]}


@pytest.mark.parametrize(
    ("title", "comments", "reason"),
    [
        (r"$F6_{1}$ Chalcopyrite (CuFeS$_{2}$) Structure ({\em Obsolete})", "", "obsolete"),
        (r"Original BN ($B12$) Structure", "", "obsolete"),
        (r"TaTi (BCC SQS-16) Structure", "", "random alloy"),
        (r"Predicted SiO$_{2}$ ($P2$) Structure", "", "not a measured"),
        (r"Hypothetical BCT5 Si Structure", "", "not a measured"),
        (r"H$_{3}$S (60 GPa) Structure", "This structure was found via first-principles work.", "not a measured"),
        (r"CdPt$_{3}$ Structure", "This structure has not been experimentally confirmed, but ...", "not a measured"),
    ],
)
def test_titles_and_comments_say_what_is_no_measured_structure(title: str, comments: str, reason: str) -> None:
    assert reason in str(not_its_formula({"label": "AB_hP4_186_b_b-001", "title": title, "comments": comments}))


@pytest.mark.parametrize(
    ("title", "comments"),
    [
        ("Wurtzite (ZnS, $B4$) Structure", "Later first-principles calculations agree."),
        ("High-Pressure CdTe Structure", "We use the data given for a pressure of 19.3 GPa."),
        (r"$L1_{2}$ (Cu$_{3}$Au) Structure", "Earlier work is obsolete."),  # a comment on another structure
        ("Rhombohedral CuPt Structure", None),
    ],
)
def test_what_was_measured_stays(title: str, comments: str | None) -> None:
    assert not_its_formula({"label": "AB_hP4_186_b_b-001", "title": title, "comments": comments}) is None


def test_a_solid_solution_that_gives_one_end_as_its_formula_is_refused_by_its_label() -> None:
    entry = {"label": "A3BC_tP5_99_ac_b_a-002", "title": "Tetragonal PZT", "comments": None}
    assert "shared with elements" in str(not_its_formula(entry))


def test_a_misprinted_cell_that_nothing_can_be_compared_with_is_refused_by_its_label() -> None:
    entry = {"label": "A10B3C4_oC68_64_2dfg_ad_2d-001", "title": "Sr$_{4}$Ru$_{3}$O$_{10}$", "comments": None}
    assert "cell are misprinted" in str(not_its_formula(entry))


def test_the_source_refuses_with_the_reason_and_reads_the_others(tmp_path: Path) -> None:
    for label, title in (("AB_hP4_186_b_b-001", "Wurtzite"), ("AB_hP4_186_b_b-002", "Hypothetical wurtzite")):
        folder = tmp_path / label
        folder.mkdir()
        entry = {"label": label, "title": title, "comments": "", "prototype": "SZn", **WURTZITE}
        (folder / "info.json").write_text(json.dumps(entry))
    first, second = (item.value for item in EncyclopediaSource(tmp_path).iter_records())
    assert isinstance(first, CrysRecord)
    assert (first.material_id, first.formula_reduced) == ("aflow-AB_hP4_186_b_b-001", "ZnS")
    assert isinstance(second, Refusal)
    assert second.reason == "not a measured structure"
