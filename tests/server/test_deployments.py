"""Every flow as its own deployment, started from the command line, run by a worker against a server on PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.screening.candidate import new_candidate
from dao_core.screening.ranking import rank
from dao_core.screening.report.files import write_files
from tasks.run_log import read_state
from tests.dft.conftest import library  # noqa: F401 - a fixture
from tests.helpers.fake_pw import FAKE_COMMAND, silicon
from tests.helpers.small_runs import TRAINING, campaign_settings
from tests.server.conftest import Site
from tests.server.services import cli

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return campaign_settings(tmp_path_factory.mktemp("flows"))


def completed(site: Site, name: str, config: dict[str, Any]) -> dict[str, Any]:
    """The log of a run that must have completed on the server too."""
    run = site.run(name, config)
    assert run["state_type"] == "COMPLETED", f"{run['state']}\n{site.worker.log[-4000:]}"
    state = read_state(Path(config["root"]))
    assert state is not None
    assert (state["status"], state["flow_run_id"]) == ("completed", run["id"])
    return state


def below(settings: dict[str, Any], name: str, **extra: Any) -> dict[str, Any]:
    return {"name": name, "root": str(Path(settings["root"]).parent / name), **extra}


def test_the_campaign_runs_to_its_end(site: Site, settings: dict[str, Any]) -> None:
    state = completed(site, "campaign", settings)
    counts = state["summary"]["counts"]
    assert counts["n_asked"] == counts["n_ok"] + counts["n_failed"] > 0
    artifacts = site.api("POST", "/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [state["flow_run_id"]]}}})
    kinds = {a["type"] for a in artifacts}
    assert kinds >= {"table", "markdown", "progress"}
    finished = [a for a in artifacts if a["key"] == "progress-relax-unstable"]
    assert [a["data"] for a in finished] == [100.0]


def test_the_database_is_built_and_updated(site: Site, settings: dict[str, Any]) -> None:
    config = below(settings, "crysdb", crysdb=settings["crysdb"])
    built = completed(site, "rebuild-crysdb", config)
    updated = completed(site, "update-crysdb", config)
    assert updated["summary"]["n_same"] == built["summary"]["n_in"]
    assert updated["summary"]["version"] == built["summary"]["version"]


def test_pretraining_on_a_published_table(site: Site, settings: dict[str, Any]) -> None:
    table = str(Path(settings["root"]) / "crysdb" / "table")
    keys = ("crysdb", "stage1", "predictor", "relaxation", "stage2")
    config = below(settings, "pretrain", table=table, **{k: settings[k] for k in keys})
    state = completed(site, "pretrain", config)
    assert "build CrysDB" not in state["stages"]
    assert Path(state["summary"]["generator"], "model.safetensors").exists()


def test_relaxing_a_data_set(site: Site, settings: dict[str, Any]) -> None:
    pretrained = read_state(Path(settings["root"]).parent / "pretrain")
    assert pretrained is not None
    config = below(
        settings, "relax-dataset", crysdb=str(Path(settings["root"]) / "crysdb" / "table"),
        predictor=pretrained["summary"]["potential"], relaxation={**settings["relaxation"], "shard_size": 2},
        workers={"engine": "dask", "workers": 2},
    )  # fmt: skip
    state = completed(site, "relax-dataset", config)
    counts = state["stages"]["relax unstable"]["counts"]
    assert counts["n_asked"] == counts["n_ok"] + counts["n_failed"] == 6
    assert state["summary"]["shards"] == 3


def test_screening_and_validation(site: Site, settings: dict[str, Any]) -> None:
    models = read_state(Path(settings["root"]).parent / "pretrain")
    assert models is not None
    names = {k: models["summary"][k] for k in ("generator", "potential")}
    screened = completed(
        site, "screen-candidates",
        below(settings, "screen", formulas=["CuAu"], models=names, search=settings["search"]),
    )  # fmt: skip
    assert screened["summary"]["counts"]["n_asked"] > 0


def test_validating_the_best_candidates(
    site: Site,
    settings: dict[str, Any],
    library: PseudoLibrary,  # noqa: F811
) -> None:
    """With the fake pw.x; its plan travels in a wrapper, because a worker has an environment of its own."""
    folder = Path(settings["root"]).parent
    plan, wrapper = folder / "plan", folder / "pw"
    plan.write_text("")
    wrapper.write_text(f'#!/bin/sh\nFAKE_QE_PLAN={plan} exec {FAKE_COMMAND} "$@"\n')
    wrapper.chmod(0o755)
    best = new_candidate("si", silicon(), origin="test", energy_per_atom=-1.0, relaxation_status="converged")
    write_files(rank([best]), folder / "report")
    dft = {"command": str(wrapper), "pseudo_dir": str(library.folder), "elements": False, "min_free_bytes": 0}
    state = completed(
        site, "validate-dft",
        below(settings, "validate", candidates=str(folder / "report" / "candidates.parquet"),
              handoff={"when": "always", "top": 1, "settings": dft}),
    )  # fmt: skip
    assert state["summary"]["validations"] == ["Si: validated"]


def test_a_server_keeps_the_database_that_was_named(site: Site, tmp_path: Path) -> None:
    """Every start of a server says `dao deploy`."""

    def deploy(*options: str) -> str:
        done = cli(site.server, "flows.cli.main", "deploy", *options)
        return done.stderr if done.returncode else "done"

    def scheduled() -> list[dict[str, Any]]:
        names = [f"{n}/{n}" for n in ("rebuild-crysdb", "update-crysdb")]
        return [site.api("GET", f"/deployments/name/{name}")["parameters"]["config"] for name in names]

    before = scheduled()
    mine = tmp_path / "mine.yaml"
    mine.write_text("sources: [{kind: oqmd, release: '1.7', filter: natoms<31}]\n")
    try:
        assert deploy("--crysdb", str(mine)) == "done"
        named = scheduled()
        assert [config["crysdb"]["sources"][0]["filter"] for config in named] == ["natoms<31"] * 2
        assert deploy() == "done"
        assert scheduled() == named
        rebuild = site.api("GET", "/deployments/name/rebuild-crysdb/rebuild-crysdb")["id"]
        older = {"parameters": {"config": {**named[0], "gone": 1}}, "enforce_parameter_schema": False}
        site.api("PATCH", f"/deployments/{rebuild}", older)
        said = deploy()
        assert "rebuild-crysdb on the server do not fit this version" in said
        assert "unknown key 'gone'" in said
    finally:
        assert deploy("--crysdb", "crysdb-sample.yaml") == "done"
    assert scheduled() == before


def test_a_wrong_setting_fails_at_once_and_says_what_to_do(site: Site, settings: dict[str, Any]) -> None:
    bf16 = {**TRAINING, "precision": "bf16-mixed"}
    run = site.run("pretrain", below(settings, "wrong", stage1=bf16, predictor=TRAINING, stage2=TRAINING))
    assert run["state_type"] == "FAILED"
    assert "stage1.precision: bf16-mixed needs a CUDA device" in run["state"]["message"]
