"""What cannot run here is refused at the start, with every key and its remedy."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.config import (
    CampaignConfig,
    RebuildConfig,
    RelaxDatasetConfig,
    RunSettings,
    ScreenConfig,
    StudyConfig,
    ValidateConfig,
)
from tasks.preflight import PreflightError, check_training, preflight
from tests.helpers.small_runs import TRAINING


def settings(tmp_path: Path, **changes: Any) -> CampaignConfig:
    base: dict[str, Any] = {
        "name": "x", "root": tmp_path / "run", "stage1": TRAINING, "predictor": TRAINING, "stage2": TRAINING,
        "formulas": ["CuAu"],
    }  # fmt: skip
    return CampaignConfig.model_validate({**base, **changes})


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def test_what_can_run_passes(tmp_path: Path) -> None:
    preflight(settings(tmp_path))


def test_every_problem_is_named(tmp_path: Path) -> None:
    sources = [{"kind": "files", "name": "a", "paths": [str(tmp_path / "gone.csv")], "functional": "PBE"}]
    bad = settings(
        tmp_path,
        crysdb={"sources": sources},
        handoff={"when": "always", "settings": {"command": "pw-that-is-not-there.x"}},
    )
    with pytest.raises(PreflightError) as error:
        preflight(bad)
    assert "crysdb.sources.0.paths" in str(error.value)
    assert "gone.csv is not there" in str(error.value)
    assert "handoff.when: always, but pw-that-is-not-there.x" in str(error.value)


def test_a_root_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PreflightError, match="root: cannot make the folder"):
        preflight(settings(tmp_path, root=tmp_path / "file" / "run"))


def test_a_foreign_page_where_the_report_goes(tmp_path: Path) -> None:
    (tmp_path / "run" / "report").mkdir(parents=True)
    (tmp_path / "run" / "report" / "paper.tex").write_text("mine")
    preflight(settings(tmp_path))
    (tmp_path / "run" / "report" / "index.html").write_text("mine")
    with pytest.raises(PreflightError, match=r"root: .*index\.html is not of this program: move it away"):
        preflight(settings(tmp_path))


def test_a_gpu_stage_without_a_gpu(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(PreflightError, match=r"stage1\.precision: bf16-mixed needs a CUDA device"):
        preflight(settings(tmp_path, stage1={**TRAINING, "precision": "bf16-mixed"}))


def test_a_missing_table(tmp_path: Path) -> None:
    config = ScreenConfig(name="x", root=tmp_path / "run", formulas=("NaCl",), crysdb=tmp_path / "none")
    with pytest.raises(PreflightError, match="crysdb: no table at"):
        preflight(config)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.preflight.MIN_FREE_BYTES", 10**18)
    with pytest.raises(PreflightError, match=r"root: \d+ MB free below .*: free some space"):
        preflight(settings(tmp_path))


def test_every_flow_s_settings_are_checked(tmp_path: Path) -> None:
    none = tmp_path / "none"
    source = {"kind": "files", "name": "a", "paths": [str(none)], "functional": "PBE"}
    base: dict[str, Any] = {"name": "x", "root": tmp_path / "run"}
    bad: list[tuple[RunSettings, str]] = [
        (RebuildConfig(**base, crysdb={"sources": [source]}), r"crysdb\.sources\.0\.paths: .*none is not there"),
        (RelaxDatasetConfig(**base, crysdb=none), "crysdb: no table at .*none: build one"),
        (ValidateConfig(**base, candidates=none), "candidates: .*none is not there: name a screening's"),
        (settings(tmp_path, table=none), "table: no table at .*none: build one"),
        (RebuildConfig(**base, workers={"engine": "slurm"}), r"workers\.engine: slurm"),
        (settings(tmp_path, file=none), "file: .*none is not there: correct the path"),
        (settings(tmp_path, judge="sevenet"), "judge: no potential 'sevenet': use dao, sevennet"),
        (
            settings(tmp_path, handoff={"when": "auto", "references": [none]}),
            r"handoff\.references: .*none is not there",
        ),
    ]
    for config, message in bad:
        with pytest.raises(PreflightError, match=message):
            preflight(config)


def test_a_chemical_system_that_is_none_is_told_before_the_trainings(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="Oo is not an element"):
        settings(tmp_path, system="Li-Fe-Oo")


def test_the_seed_of_a_run_is_its_study_s_unless_that_has_its_own(tmp_path: Path) -> None:
    def seed(**study: Any) -> int:
        run = {"name": "x", "root": tmp_path, "seed": 7, "study": {"kind": "loop", **study}}
        return StudyConfig.model_validate(run).study.seed

    assert (seed(), seed(seed=3)) == (7, 3)


def test_a_missing_key_of_the_materials_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MP_API_KEY", raising=False)

    def rebuild(**source: str) -> RebuildConfig:
        crysdb = {"sources": [{"kind": "sample"}, {"kind": "materials_project", **source}]}
        return RebuildConfig.model_validate({"name": "x", "root": tmp_path / "run", "crysdb": crysdb})

    with pytest.raises(PreflightError, match=r"crysdb\.sources\.1: no API key: set MP_API_KEY"):
        preflight(rebuild())
    preflight(rebuild(api_key_block="mp"))  # asked for when the sources are opened
    monkeypatch.setenv("MP_API_KEY", "k" * 32)
    preflight(rebuild())


def test_a_study_that_reads_no_data_needs_none(tmp_path: Path) -> None:
    study = {"kind": "pressure", "data": tmp_path / "none"}
    preflight(StudyConfig.model_validate({"name": "x", "root": tmp_path / "run", "study": study}))


def test_a_training_alone_is_checked_too(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    config = settings(tmp_path, stage1={**TRAINING, "precision": "bf16-mixed"}).stage1
    with pytest.raises(PreflightError, match=r"settings\.precision: bf16-mixed needs a CUDA device"):
        check_training("settings", config)


@pytest.fixture
def old_server() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps("2.20.1").encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()
    server.server_close()


def test_a_server_of_another_version(tmp_path: Path, old_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", old_server)
    with pytest.raises(PreflightError, match=r"the server is version 2\.20\.1, this client 3\.8"):
        preflight(settings(tmp_path))


def test_no_server_where_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(PreflightError, match=r"no Prefect server answers at 127\.0\.0\.1:9"):
        preflight(settings(tmp_path))
