"""The flows `rebuild-crysdb` and `update-crysdb`, for schedules."""

from __future__ import annotations

from datetime import UTC, datetime

from dao_core.crysdb.table import TableRecord
from tasks.config import RebuildConfig
from tasks.crysdb import announce, build_crysdb, prepare_crysdb
from tasks.crysdb import update_crysdb as update_task
from tasks.prefect_api import flow
from tasks.preflight import start_run

RERUN = "prefect deployment run rebuild-crysdb/rebuild-crysdb"
UPDATE = "prefect deployment run update-crysdb/update-crysdb"


@flow(name="rebuild-crysdb", flow_run_name="{config.name}")
def rebuild_crysdb(config: RebuildConfig, command: str = RERUN) -> TableRecord:
    """Read every source and publish a version; a killed build continues, a done one is found again.

    Args:
        config: Of the build.
        command: What continues it.

    Returns:
        The record of the table.
    """
    snapshot = config.crysdb.snapshot or datetime.now(UTC).strftime(config.every)
    settings = config.crysdb.model_copy(update={"snapshot": snapshot})
    with start_run(config, command).watch() as run:
        prepare_crysdb(run, settings, str(run.root))
        table = run.step("build CrysDB", build_crysdb, settings, str(run.root), folder=str(run.root))
        run.step("announce", announce, table, config.name, str(run.root))
        run.finish("completed", summary={"version": table.version, "snapshot": snapshot, **table.counts})
    return table


@flow(name="update-crysdb", flow_run_name="{config.name}")
def update_crysdb(config: RebuildConfig, command: str = UPDATE) -> TableRecord:
    """Bring the table up to date with its sources and publish a version where anything changed.

    Args:
        config: Of the build.
        command: What continues it.

    Returns:
        The record of the table.
    """
    with start_run(config, command).watch() as run:
        table = run.step("update CrysDB", update_task, config.crysdb, str(run.root))
        run.step("announce", announce, table, config.name, str(run.root))
        run.finish("completed", summary={"version": table.version, **table.counts})
    return table
