"""The flow `campaign`: the whole way from a database to ranked structures, as a methods section."""

from __future__ import annotations

from pathlib import Path

from dao_core.artifacts import StageRecord
from tasks.config import CampaignConfig
from tasks.crysdb import build_crysdb
from tasks.dft import validate_best
from tasks.engine import FlowRunContext, flow
from tasks.files import publish_folder
from tasks.journal import Journal
from tasks.relaxation import relax_shard, select_unstable
from tasks.screening import Models, propose_formula, rank_candidates, relax_formula
from tasks.summary import summarise
from tasks.training import train_generator, train_predictor


@flow(name="campaign", flow_run_name="{config.name}", log_prints=True)
def campaign(config: CampaignConfig, command: str = "dao campaign") -> StageRecord:
    """Build CrysDB, train on all of it, relax its unstable part, train on the result, then search the formulas."""
    root = str(config.root)
    context = FlowRunContext.get()
    run_id = str(context.flow_run.id) if context and context.flow_run else None
    with Journal(root, name=config.name, command=command, flow_run_id=run_id).watch() as run:
        table = run.step("build CrysDB", build_crysdb, config.crysdb, root)
        first = run.step("train DAO-G, stage 1", train_generator, table, config.stage1, root, view="leak_free")
        energy = run.step("train DAO-P", train_predictor, table, config.predictor, root)

        shards = run.step("select unstable", select_unstable, table, config.relaxation)
        relaxed = run.step_each("relax unstable", relax_shard, shards, table, energy, config.relaxation.relax, root)
        larger = run.step("rebuild CrysDB", build_crysdb, config.crysdb, root, relaxed)
        second = run.step(
            "train DAO-G, stage 2", train_generator, larger, config.stage2, root, view="relaxed", start_from=first
        )

        models = Models(generator=str(second.file("checkpoint")), potential=str(energy.file("checkpoint")))
        proposed = run.step_each("propose", propose_formula, config.formulas, models, config.search, root)
        refined = run.step_each("relax candidates", relax_formula, proposed, models, config.search, root)
        ranked = run.step(
            "rank and report", rank_candidates, config.name, proposed, refined, models, root, larger, config.seed
        )
        page = publish_folder(ranked.file("report"), Path(root) / "report") / "index.html"
        checked = run.step("validate the best with pw.x", validate_best, ranked, config.handoff, root)
        run.finish("completed", summary=summarise(ranked, page, checked))
    return ranked
