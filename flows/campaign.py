"""The flow `campaign`: the whole way from a database to ranked structures."""

from __future__ import annotations

from dao_core.artifacts import StageRecord
from flows.pretrain import train_models
from flows.screen import search_formulas
from tasks.config import CampaignConfig
from tasks.prefect_api import flow
from tasks.preflight import start_run

RERUN = "prefect deployment run campaign/campaign"


@flow(name="campaign", flow_run_name="{config.name}")
def campaign(config: CampaignConfig, command: str = RERUN) -> StageRecord:
    """Build CrysDB, train on all of it, relax its unstable part, train on the result, then search the formulas.

    Args:
        config: Of every part.
        command: What continues it.

    Returns:
        The record of the report.
    """
    with start_run(config, command).watch() as run:
        models, table = train_models(run, config)
        return search_formulas(run, config, models.model_copy(update={"judge": config.judge}), table)
