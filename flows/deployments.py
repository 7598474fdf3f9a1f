"""The deployments of the flows: `python -m flows.deployments > infra/prefect.yaml` writes them for Prefect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
POOL = "dao"  # a process work pool; the queues below let a worker take only what its machine can do
HEADER = """\
# Made by `python -m flows.deployments`; a test compares. Edit flows/deployments.py instead.
# The worker's machine says where the checkout is: DAO_HOME. Secrets (MP_API_KEY) stay in the worker's environment.
"""


@dataclass(frozen=True)
class Deployment:
    """One deployment: the flow, its parameters, which queue runs it, and what starts it."""

    name: str
    entrypoint: str
    description: str
    config: dict[str, Any]
    queue: str = "default"
    cron: str | None = None
    limit: int = 1  # runs at a time: two of the same would only wait for one another in the ledger
    after: dict[str, Any] = field(default_factory=dict)  # event that may start it; a switch that is off by default


def _settings(name: str, **changes: Any) -> dict[str, Any]:
    """A configuration of `configs/` as a mapping, some top-level keys replaced."""
    import yaml

    data: dict[str, Any] = yaml.safe_load((ROOT / "configs" / name).read_text())
    return {**data, **changes}


def _event(event: str, resource: str, parameters: dict[str, Any]) -> dict[str, Any]:
    match = {"prefect.resource.id": resource}
    return {"type": "event", "enabled": False, "match": match, "expect": [event], "parameters": parameters}


def _label(name: str) -> str:
    """What the event says about its resource: the server fills it in when the event arrives."""
    return "{{ event.resource.get('" + name + "') }}"


def deployments(database: Mapping[str, Any] | None = None) -> list[Deployment]:
    """All deployments; `database` replaces parameters of the one that the schedules rebuild, which are the sample's."""
    campaign = _settings("campaign-demo.yaml")
    training = {k: v for k, v in campaign.items() if k not in ("formulas", "search", "handoff")}
    sample = {"name": "crysdb", "root": "runs/crysdb", "crysdb": _settings("crysdb-sample.yaml")}
    database = {**sample, **(database or {})}
    pretraining = {**training, "name": "pretrain", "root": "runs/pretrain"}
    validation = {"name": "validate", "root": "runs/validate", "candidates": "runs/screen/report/candidates.parquet"}
    screening = {"name": "screen", "root": "runs/screen", "formulas": ["NaCl", "SrTiO3"], "search": campaign["search"]}
    study = _settings("study-polymorphs.yaml")
    return [
        Deployment(
            "rebuild-crysdb",
            "flows/crysdb.py:rebuild_crysdb",
            "Read every source anew and publish a version.",
            database,
            cron="0 2 * * 0",
        ),
        Deployment(
            "update-crysdb",
            "flows/crysdb.py:update_crysdb",
            "Work on what is new, changed or gone.",
            database,
            cron="0 3 * * *",
        ),
        Deployment(
            "pretrain",
            "flows/pretrain.py:pretrain",
            "Both training stages with the relaxation between them.",
            pretraining,
            queue="gpu",
            after=_event("dao.crysdb.published", "dao.crysdb.*", {"config": {**pretraining, "table": _label("table")}}),
        ),
        Deployment(
            "relax-dataset",
            "flows/relax_dataset.py:relax_dataset",
            "Relax the unstable part of CrysDB with DAO-P.",
            {"name": "relax-dataset", "root": "runs/relax-dataset", "crysdb": "runs/crysdb/table", "predictor": "dao"},
            queue="gpu",
        ),
        Deployment(
            "screen-candidates", "flows/screen.py:screen_candidates", "Formulas in, ranked candidates out.", screening
        ),
        Deployment(
            "validate-dft",
            "flows/validate.py:validate_dft",
            "Take the best candidates of a screening through pw.x.",
            validation,
            queue="dft",
            limit=2,
            after=_event(
                "dao.screening.finished",
                "dao.screening.*",
                {"config": {**validation, "candidates": _label("candidates")}},
            ),
        ),
        Deployment(
            "benchmark-structures",
            "flows/benchmark.py:benchmark_structures",
            "Match rate and RMSE of DAO-G on a published split.",
            {"name": "benchmark", "root": "runs/benchmark", "benchmark": "mp-20", "data": "../shared/data"},
            queue="gpu",
        ),
        Deployment(
            "finetune-property",
            "flows/finetune.py:finetune_property",
            "DAO-P learns a column of the user's own table.",
            {
                "name": "finetune",
                "root": "runs/finetune",
                "data": "property.parquet",
                "property": _settings("finetune-property.yaml"),
            },
            queue="gpu",
        ),
        Deployment("study", "flows/studies.py:study", "One of the paper's studies.", study),
        Deployment("campaign", "flows/campaign.py:campaign", "The whole way from database to report.", campaign),
    ]


def prefect_yaml(*, chain: bool = False, database: Mapping[str, Any] | None = None) -> str:
    """The text of `infra/prefect.yaml`.

    Args:
        chain: The events may start what waits for them.
        database: As for `deployments`.
    """
    import yaml

    entries = [_entry(d, chain=chain) for d in deployments(database)]
    step = {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $DAO_HOME }}"}}
    document = {"name": "dao", "prefect-version": "3.8.8", "pull": [step], "deployments": entries}

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - anchors would hide what a deployment runs
            return True

    return HEADER + yaml.dump(document, Dumper=Plain, sort_keys=False, width=120)


def _entry(d: Deployment, *, chain: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": d.name,
        "entrypoint": d.entrypoint,
        "description": d.description,
        "tags": ["dao", d.queue],
        "parameters": {"config": d.config},
        "concurrency_limit": {"limit": d.limit, "collision_strategy": "ENQUEUE"},
        "work_pool": {"name": POOL, "work_queue_name": d.queue},
    }
    if d.cron:
        entry["schedules"] = [{"cron": d.cron, "timezone": "UTC", "active": True}]
    if d.after:
        entry["triggers"] = [{**d.after, "enabled": chain}]
    return entry


if __name__ == "__main__":
    print(prefect_yaml(), end="")
