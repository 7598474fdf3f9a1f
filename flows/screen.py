"""The flow `screen-candidates`: propose, relax, rank, report, and hand the best to Quantum ESPRESSO."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dao_core.artifacts import StageRecord
from dao_core.screening.search import SearchSettings
from tasks.config import HandOff, Models, ScreenConfig
from tasks.crysdb import TableRecord, open_table
from tasks.dft import validate_best
from tasks.engine import flow, flow_run_id
from tasks.files import publish_folder
from tasks.journal import Journal
from tasks.preflight import preflight
from tasks.screening import propose_formula, rank_candidates, relax_formula
from tasks.summary import summarise

RERUN = "prefect deployment run screen-candidates/screen-candidates"


@flow(name="screen-candidates", flow_run_name="{config.name}")
def screen_candidates(
    config: ScreenConfig, command: str = "prefect deployment run screen-candidates/screen-candidates"
) -> StageRecord:
    """Search the formulas with models that exist; returns the record of the ranking."""
    preflight(config)
    table = None if config.crysdb is None else open_table(config.crysdb)
    with Journal(config.root, name=config.name, command=command, flow_run_id=flow_run_id()).watch() as run:
        return search_formulas(
            run, config.formulas, config.models, config.search, config.handoff, str(config.root), table, config.seed
        )


def search_formulas(
    run: Journal,
    formulas: Sequence[str],
    models: Models,
    search: SearchSettings,
    handoff: HandOff,
    root: str,
    table: TableRecord | None,
    seed: int,
) -> StageRecord:
    """The stages of a search, for this flow and the campaign; closes the journal."""
    name = str(run.state["name"])
    proposed = run.step_each("propose", propose_formula, formulas, models, search, root)
    relaxed = run.step_each("relax candidates", relax_formula, proposed, models, search, root)
    ranked = run.step("rank and report", rank_candidates, name, proposed, relaxed, models, root, table, seed)
    page = publish_folder(ranked.file("report"), Path(root) / "report") / "index.html"
    checked = run.step("validate with pw.x", validate_best, ranked, handoff, root)
    run.finish("completed", summary=summarise(ranked, page, checked))
    return ranked
