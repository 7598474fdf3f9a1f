"""The flow `finetune-property`: DAO-P learns a scalar column, fold by fold."""

from __future__ import annotations

from dao_core.artifacts import StageRecord
from tasks.config import FinetuneConfig
from tasks.finetuning import assemble, read_rows, train_fold
from tasks.prefect_api import flow
from tasks.preflight import start_run

RERUN = "prefect deployment run finetune-property/finetune-property"


@flow(name="finetune-property", flow_run_name="{config.name}")
def finetune_property(config: FinetuneConfig, command: str = RERUN) -> StageRecord:
    """Train one member a fold.

    Args:
        config: Which rows, which column, how.
        command: What repeats it, for the run log.

    Returns:
        The record of the model, with its out-of-fold error.
    """
    settings, root = config.property, str(config.root)
    with start_run(config, command).watch() as run:
        rows = run.step("read rows", read_rows, config.data, settings, root)
        folds = run.step_each("train fold", train_fold, list(range(settings.folds)), rows, settings, root)
        model = run.step("assemble model", assemble, rows, folds, settings, root)
        run.finish("completed", summary=model.facts)
    return model
