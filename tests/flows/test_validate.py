"""The flow `validate-dft` over the fake pw.x: a summary whatever happens, an error only where everything failed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dao_core.dft.settings import DftSettings
from dao_core.screening.report.files import write_files
from dao_core.screening.report.page import read_data, write_report
from dao_core.screening.report.page_data import ReportInfo
from tasks.config import HandOff, ValidateConfig
from tasks.dft import NothingValidatedError, choose_best, show_in_page, validate_candidate
from tests.dft.conftest import library, plan, settings  # noqa: F401 - fixtures
from tests.helpers.candidates import candidate, cesium_chloride
from tests.helpers.fake_pw import nickel_oxide, silicon


@pytest.fixture
def report(tmp_path: Path) -> Path:
    items = [candidate("Si-1", silicon(), -5.0), candidate("NiO-1", nickel_oxide(), -4.0)]
    write_report(items, tmp_path / "report", info=ReportInfo(title="two"))
    return tmp_path / "report" / "candidates.parquet"


def handoff(settings: DftSettings, **changes: object) -> HandOff:  # noqa: F811
    return HandOff(when="always", top=2, settings=settings.model_copy(update=changes))


@pytest.mark.parametrize(
    ("names", "changes", "status"),
    [
        ([], {}, "validated"),
        (["crashed"], {}, "code_failed"),
        (["unreadable"] * 2, {}, "code_failed"),
        (["hanging"] * 2, {"stall_seconds": 0.3}, "timeout"),
        (["disk_full"], {}, "disk_full"),
        ([], {"command": "/nowhere/pw.x"}, "pw_missing"),
        ([], {"min_free_bytes": 10**18}, "disk_full"),
    ],
)
def test_each_way_to_fail_is_a_named_status(
    report: Path,
    settings: DftSettings,  # noqa: F811
    plan: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
    names: list[str],
    changes: dict[str, object],
    status: str,
) -> None:
    plan(*names)
    chosen = handoff(settings, **changes)
    row = choose_best.fn(str(report), chosen)[0]
    summary = validate_candidate.fn(row, chosen, str(tmp_path / "run"))
    assert (summary.id, summary.formula, summary.status) == ("Si-1", "Si", status)
    assert status == "validated" or summary.message


def test_an_element_without_a_pseudopotential_is_a_status_of_its_candidate_alone(
    settings: DftSettings,  # noqa: F811
    plan: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    plan()
    write_files([candidate("NaCl-1", cesium_chloride(), -3.0)], tmp_path / "report")
    row = choose_best.fn(str(tmp_path / "report" / "candidates.parquet"), handoff(settings))[0]
    summary = validate_candidate.fn(row, handoff(settings), str(tmp_path / "run"))
    assert summary.status == "missing_pseudopotential"
    assert "Cl, Na" in summary.message


def test_what_was_asked_for_beside_the_energy_gets_into_the_page(
    report: Path,
    settings: DftSettings,  # noqa: F811
    plan: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    plan()
    chosen = handoff(settings).model_copy(update={"properties": ("electrons", "phonons")})
    summary = validate_candidate.fn(choose_best.fn(str(report), chosen)[0], chosen, str(tmp_path / "run"))
    page = report.with_name("index.html")
    assert show_in_page.fn([summary], str(page)) == 1
    assert show_in_page.fn([summary], str(tmp_path / "elsewhere.html")) == 0
    parts = [s["part"] for s in read_data(page)["candidates"][0]["dft"]["sections"]]
    assert parts == ["bands", "states", "elf", "bader", "phonons"]


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=300):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_the_flow_ends_with_a_summary_and_fails_only_when_everything_did(
    report: Path,
    settings: DftSettings,  # noqa: F811
    plan: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    from flows.validate import validate_dft

    plan("crashed")
    part = ValidateConfig(name="part", root=tmp_path / "part", candidates=report, handoff=handoff(settings))
    summaries = validate_dft(part)
    assert sorted(v.status for v in summaries) == ["code_failed", "validated"]
    state = json.loads((tmp_path / "part" / "run.json").read_text())
    assert state["status"] == "completed"
    assert len(state["summary"]["validations"]) == 2
    assert state["summary"]["rows"]["n_rows"] == 1
    assert Path(state["summary"]["rows"]["file"]).is_file()
    shown = {row["id"]: row["dft"]["status"] for row in read_data(report.with_name("index.html"))["candidates"]}
    assert sorted(shown.values()) == ["code_failed", "validated"]

    plan(*["crashed"] * 4)
    none = ValidateConfig(name="none", root=tmp_path / "none", candidates=report, handoff=handoff(settings))
    with pytest.raises(NothingValidatedError, match="none of 2 candidates could be validated"):
        validate_dft(none)
    state = json.loads((tmp_path / "none" / "run.json").read_text())
    assert state["status"] == "failed"
    assert state["summary"]["validations"] == ["Si: code_failed", "NiO: code_failed"]
