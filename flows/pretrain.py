"""The flow `pretrain`: database, stage 1, DAO-P, relaxation of the unstable part, stage 2."""

from __future__ import annotations

from dao_core.artifacts import StageRecord
from dao_core.crysdb.table import TableRecord
from dao_core.screening.settings import ModelNames
from tasks.config import PretrainConfig
from tasks.crysdb import build_crysdb, open_table, prepare_crysdb
from tasks.prefect_api import flow
from tasks.preflight import start_run
from tasks.relaxation import relax_shard, select_unstable
from tasks.run_log import RunLog
from tasks.training import CHECKPOINT, train_generator, train_predictor

RERUN = "prefect deployment run pretrain/pretrain"


@flow(name="pretrain", flow_run_name="{config.name}")
def pretrain(config: PretrainConfig, command: str = RERUN) -> ModelNames:
    """Build CrysDB (or take a published table) and train both models.

    Args:
        config: The whole pretraining.
        command: What repeats it, for the run log.

    Returns:
        Where the checkpoints are.
    """
    with start_run(config, command).watch() as run:
        models, table = train_models(run, config)
        run.finish("completed", summary={**models.model_dump(), "crysdb_version": table.version})
    return models


def train_models(run: RunLog, config: PretrainConfig) -> tuple[ModelNames, TableRecord]:
    """The stages of the pretraining, for this flow and the campaign.

    Args:
        run: Log of the run.
        config: The whole pretraining.

    Returns:
        Where the checkpoints are, and the table with the relaxed rows.
    """
    root = str(run.root)
    published = None if config.table is None else open_table(config.table)
    if published is None:
        prepare_crysdb(run, config.crysdb, str(run.root / "crysdb"))
    table = published or run.step("build CrysDB", build_crysdb, config.crysdb, root)
    first = run.step("train DAO-G, stage 1", train_generator, table, config.stage1, root, view="leak_free")
    potential = _checkpoint(run.step("train DAO-P", train_predictor, table, config.predictor, root))

    shards = run.step("select unstable", select_unstable, table, config.relaxation)
    relaxed = run.step_each("relax unstable", relax_shard, shards, table, potential, config.relaxation.relax, root)
    larger = run.step("rebuild CrysDB", build_crysdb, config.crysdb, root, relaxed, published)

    second = run.step(
        "train DAO-G, stage 2", train_generator, larger, config.stage2, root, view="relaxed", start_from=first
    )
    return ModelNames(generator=_checkpoint(second), potential=potential), larger


def _checkpoint(record: StageRecord) -> str:
    return str(record.file(CHECKPOINT))
