"""The flow `campaign`: the whole way from a database to ranked structures."""

from __future__ import annotations

from dao_core.artifacts import StageRecord
from flows.pretrain import train_models
from flows.screen import search_formulas
from tasks.config import CampaignConfig
from tasks.engine import flow, flow_run_id
from tasks.journal import Journal
from tasks.preflight import preflight


@flow(name="campaign", flow_run_name="{config.name}")
def campaign(config: CampaignConfig, command: str = "prefect deployment run campaign/campaign") -> StageRecord:
    """Build CrysDB, train on all of it, relax its unstable part, train on the result, then search the formulas."""
    preflight(config)
    with Journal(config.root, name=config.name, command=command, flow_run_id=flow_run_id()).watch() as run:
        models, table = train_models(run, config)
        return search_formulas(
            run, config.formulas, models, config.search, config.handoff, str(config.root), table, config.seed
        )
