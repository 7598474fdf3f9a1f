"""The flow `relax-dataset`: DAO-P relaxes the unstable part of a CrysDB table, shard by shard."""

from __future__ import annotations

from pathlib import Path

from dao_core.artifacts import StageRecord
from tasks.config import DatasetRelaxation, RunSettings
from tasks.crysdb import open_table
from tasks.engine import flow, flow_run_id
from tasks.journal import Journal
from tasks.relaxation import relax_shard, select_unstable

RERUN = "prefect deployment run relax-dataset/relax-dataset"


class RelaxDatasetConfig(RunSettings):
    """Which table, which energy model, how."""

    crysdb: Path
    predictor: str = "dao"
    relaxation: DatasetRelaxation = DatasetRelaxation()


@flow(name="relax-dataset", flow_run_name="{config.name}")
def relax_dataset(config: RelaxDatasetConfig, command: str = RERUN) -> list[StageRecord]:
    """Relax every selected structure; returns the records of the shards."""
    table, root = open_table(config.crysdb), str(config.root)
    settings = config.relaxation
    with Journal(config.root, name=config.name, command=command, flow_run_id=flow_run_id()).watch() as run:
        shards = run.step("select unstable", select_unstable, table, settings)
        done = run.step_each("relax unstable", relax_shard, shards, table, config.predictor, settings.relax, root)
        run.finish("completed", summary={"shards": len(done)})
    return done
