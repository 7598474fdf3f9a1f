"""The flow `relax-dataset`: DAO-P relaxes the unstable part of a CrysDB table, shard by shard."""

from __future__ import annotations

from dao_core.artifacts import StageRecord
from tasks.config import RelaxDatasetConfig
from tasks.crysdb import open_table
from tasks.prefect_api import flow
from tasks.preflight import start_run
from tasks.relaxation import relax_shard, select_unstable

RERUN = "prefect deployment run relax-dataset/relax-dataset"


@flow(name="relax-dataset", flow_run_name="{config.name}")
def relax_dataset(config: RelaxDatasetConfig, command: str = RERUN) -> list[StageRecord]:
    """Relax every selected structure.

    Args:
        config: Which table, which structures, how.
        command: What repeats it, for the run log.

    Returns:
        The records of the shards.
    """
    settings = config.relaxation
    with start_run(config, command).watch() as run:
        table = open_table(config.crysdb)
        shards = run.step("select unstable", select_unstable, table, settings)
        done = run.step_each(
            "relax unstable", relax_shard, shards, table, config.predictor, settings.relax, str(run.root)
        )
        run.finish("completed", summary={"shards": len(done)})
    return done
