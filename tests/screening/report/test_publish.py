"""A report in a folder that holds other files, an earlier report or what pw.x said of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from dao_core.artifacts import PUBLISHED, ForeignFileError
from dao_core.screening.candidate import Candidate
from dao_core.screening.report.first_principles import add_first_principles, first_principles
from dao_core.screening.report.page import read_data, write_report
from dao_core.screening.report.page_data import ReportInfo
from dao_core.screening.report.publish import check_place, publish_report
from tests.helpers.candidates import candidate, cesium_chloride, rocksalt
from tests.helpers.validated import properties, validation


def items() -> list[Candidate]:
    return [
        candidate("best", rocksalt(), spacegroup_after=225, cost={"relax_s": 1.0}),
        candidate("other", cesium_chloride(), spacegroup_after=221),
    ]


def report(folder: Path, ranked: Sequence[Candidate]) -> Path:
    write_report(ranked, folder, info=ReportInfo(title="NaCl", stages={"relax": 2.0}))
    return folder


def test_the_files_of_the_earlier_answer_go_and_others_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    page = publish_report(report(tmp_path / "two", items()), out)
    assert page == out / "index.html"
    mine = (
        "001_sampleA_225.cif",
        "001_experiment.cif",
        "123_raw_data.cif",
        "symmetrized/009_NaCl_001.cif",
        "paper.tex",
    )
    for name in mine:
        (out / name).write_text("mine")
    publish_report(report(tmp_path / "one", items()[:1]), out)
    assert all((out / name).read_text() == "mine" for name in mine)
    assert sorted(p.name for p in out.glob("*_NaCl_*.cif")) == ["001_NaCl_225.cif"]
    assert not (out / "symmetrized" / "002_NaCl_221.cif").exists()


def test_a_report_without_a_list_is_known_by_its_page(tmp_path: Path) -> None:
    out = report(tmp_path / "out", items())  # as earlier versions wrote it
    (out / "002_experiment.cif").write_text("mine")
    check_place(out, ["NaCl"])
    publish_report(report(tmp_path / "one", items()[:1]), out)
    assert sorted(p.name for p in out.glob("*.cif")) == ["001_NaCl_225.cif", "002_experiment.cif"]


@pytest.mark.parametrize(
    "name", ["index.html", "candidates.parquet", "007_NaCl_225.cif", "symmetrized/001_NaCl_225.cif", PUBLISHED]
)
def test_what_is_in_the_way_is_named_before_the_work(tmp_path: Path, name: str) -> None:
    check_place(tmp_path / "new", ["NaCl"])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("<html>mine</html>")
    with pytest.raises(ForeignFileError, match=f"{name} is not of this program: move it away, or name another folder"):
        check_place(tmp_path, ["NaCl"])


def test_only_names_that_the_search_may_take_are_in_the_way(tmp_path: Path) -> None:
    for name in ("001_KCl_225.cif", "001_NaCl.cif", "1_NaCl_225.cif", "paper.tex"):
        (tmp_path / name).write_text("mine")
    check_place(tmp_path, ["NaCl", "Ca(OH)2"])
    (tmp_path / "001_CaOH2_225.cif").write_text("mine")
    with pytest.raises(ForeignFileError, match=r"001_CaOH2_225\.cif"):
        check_place(tmp_path, ["NaCl", "Ca(OH)2"])


def test_what_first_principles_said_stays_with_the_same_structure_only(tmp_path: Path) -> None:
    ranked, out = items(), tmp_path / "out"
    page = publish_report(report(tmp_path / "first", ranked), out)
    record = first_principles(validation(rocksalt()), properties(rocksalt()))
    add_first_principles(page, {"best": record, "other": record})
    validated = page.read_text()
    publish_report(tmp_path / "first", out)
    assert page.read_text() == validated
    moved = [candidate("new", rocksalt(length=6.2)), ranked[0], candidate("other", cesium_chloride(length=4.5))]
    publish_report(report(tmp_path / "second", moved), out)
    data = read_data(page)
    assert [row["id"] for row in data["candidates"] if "dft" in row] == ["best"]
    assert data["candidates"][1]["cost"]["pw.x: vc-relax_s"] == 10.0
    assert data["info"]["stages"]["pw.x: vc-relax"] == 10.0
    assert not any("dft" in row for row in read_data(tmp_path / "second" / "index.html")["candidates"])
