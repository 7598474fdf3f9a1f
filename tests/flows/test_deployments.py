"""`infra/prefect.yaml` is what the flows say, every parameter loads, and Prefect itself reads it."""

from __future__ import annotations

import importlib
import inspect
import typing
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from flows.deployments import Deployment, deployments, prefect_yaml

ROOT = Path(__file__).resolve().parents[2]


def load_flow(d: Deployment):  # type: ignore[no-untyped-def]
    path, name = d.entrypoint.split(":")
    return getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)


def test_the_file_is_up_to_date() -> None:
    wanted = prefect_yaml()
    assert (ROOT / "infra" / "prefect.yaml").read_text() == wanted, (
        "run: python -m flows.deployments > infra/prefect.yaml"
    )


def test_the_issue_s_deployments_are_there() -> None:
    names = {d.name for d in deployments()}
    wanted = {"rebuild-crysdb", "update-crysdb", "pretrain", "relax-dataset", "screen-candidates", "validate-dft"}
    assert names == {*wanted, "campaign", "benchmark-structures", "finetune-property", "study"}
    crons = {d.name: d.cron for d in deployments() if d.cron}
    assert crons == {"rebuild-crysdb": "0 2 * * 0", "update-crysdb": "0 3 * * *"}


@pytest.mark.parametrize("d", deployments(), ids=lambda d: d.name)
def test_parameters_are_a_typed_form_and_load(d: Deployment) -> None:
    flow = load_flow(d)
    model = typing.get_type_hints(flow.fn)["config"]
    assert issubclass(model, BaseModel)
    assert model.model_validate(d.config)
    assert set(inspect.signature(flow.fn).parameters) == {"config", "command"}
    assert "config" in flow.parameters.properties  # what the dashboard's form is made from


def test_the_schedules_rebuild_the_database_that_is_named(tmp_path: Path) -> None:
    from flows.cli.deploy import crysdb_settings

    path = tmp_path / "mine.yaml"
    path.write_text("sources: [{kind: oqmd, release: '1.7', filter: natoms<31}]\nguards: {max_shrink: 0.1}\n")
    settings = crysdb_settings(path)
    configs = {
        e["name"]: e["parameters"]["config"]
        for e in yaml.safe_load(prefect_yaml(database={"crysdb": settings}))["deployments"]
    }
    for name in ("rebuild-crysdb", "update-crysdb"):
        assert configs[name]["crysdb"] == yaml.safe_load(path.read_text())
        assert configs[name]["root"] == "runs/crysdb"
    path.write_text("sources: [{kind: oqmd, releas: '1.7'}]\n")
    with pytest.raises(ValidationError, match="releas"):
        crysdb_settings(path)


def test_events_start_nothing_unless_asked_and_hand_over_what_they_are_about() -> None:
    from tasks.crysdb import CRYSDB, PUBLISHED
    from tasks.screening import FINISHED, SCREENING

    def triggers(*, chain: bool) -> list[dict[str, typing.Any]]:
        return [t for e in yaml.safe_load(prefect_yaml(chain=chain))["deployments"] for t in e.get("triggers", [])]

    assert [t["enabled"] for t in triggers(chain=False)] == [False, False]
    assert [t["enabled"] for t in triggers(chain=True)] == [True, True]
    pretraining, validation = triggers(chain=True)
    assert (pretraining["expect"], validation["expect"]) == ([PUBLISHED], [FINISHED])
    assert pretraining["match"] == {"prefect.resource.id": f"{CRYSDB}.*"}
    assert validation["match"] == {"prefect.resource.id": f"{SCREENING}.*"}
    assert pretraining["parameters"]["config"]["table"] == "{{ event.resource.get('table') }}"
    assert validation["parameters"]["config"]["candidates"] == "{{ event.resource.get('candidates') }}"


@pytest.mark.parametrize("d", deployments(), ids=lambda d: d.name)
def test_each_flow_fits_on_a_screen(d: Deployment) -> None:
    source = inspect.getsource(load_flow(d).fn)
    assert len(source.splitlines()) <= 30
