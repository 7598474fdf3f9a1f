"""The flows `rebuild-crysdb` and `update-crysdb`, for schedules."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import Field

from dao_core.crysdb.config import BuildConfig
from tasks.config import RunSettings
from tasks.crysdb import TableRecord, build_crysdb
from tasks.crysdb import update_crysdb as update_task
from tasks.engine import flow, flow_run_id
from tasks.journal import Journal


class RebuildConfig(RunSettings):
    """A scheduled build. Without `crysdb.snapshot` the day (or the week) names the reading of remote sources."""

    crysdb: BuildConfig = BuildConfig()
    every: str = Field("%G-W%V", description="strftime pattern that names the snapshot: by week, or %Y-%m-%d by day")


RERUN = "prefect deployment run rebuild-crysdb/rebuild-crysdb"
UPDATE = "prefect deployment run update-crysdb/update-crysdb"


@flow(name="rebuild-crysdb", flow_run_name="{config.name}")
def rebuild_crysdb(
    config: RebuildConfig, command: str = "prefect deployment run rebuild-crysdb/rebuild-crysdb"
) -> TableRecord:
    """Read every source and publish a version; a killed build continues, a done one is found again."""
    snapshot = config.crysdb.snapshot or datetime.now(UTC).strftime(config.every)
    settings = config.crysdb.model_copy(update={"snapshot": snapshot})
    with Journal(config.root, name=config.name, command=command, flow_run_id=flow_run_id()).watch() as run:
        table = run.step("build CrysDB", build_crysdb, settings, str(config.root))
        run.finish("completed", summary={"version": table.version, "snapshot": snapshot, **table.counts})
    return table


@flow(name="update-crysdb", flow_run_name="{config.name}")
def update_crysdb(config: RebuildConfig, command: str = UPDATE) -> TableRecord:
    """Bring the table up to date with its sources and publish a version where anything changed."""
    with Journal(config.root, name=config.name, command=command, flow_run_id=flow_run_id()).watch() as run:
        table = run.step("update CrysDB", update_task, config.crysdb, str(config.root))
        run.finish("completed", summary={"version": table.version, **table.counts})
    return table
