"""The flow `screen-candidates`: propose, relax, rank, report, and hand the best to Quantum ESPRESSO."""

from __future__ import annotations

from pathlib import Path

from dao_core.artifacts import StageRecord, publish_folder
from dao_core.crysdb.table import TableRecord
from tasks.config import Models, ScreenConfig, SearchPlan
from tasks.crysdb import open_table
from tasks.dft import collect_rows, validate_best
from tasks.prefect_api import flow
from tasks.preflight import start_run
from tasks.run_log import RunLog
from tasks.screening import (
    announce_screening,
    choose_formulas,
    diagnosed,
    index_templates,
    phonons_of,
    pressure_of,
    propose_formula,
    rank_candidates,
    relax_formula,
    report_candidates,
    summarise,
)

RERUN = "prefect deployment run screen-candidates/screen-candidates"


@flow(name="screen-candidates", flow_run_name="{config.name}")
def screen_candidates(config: ScreenConfig, command: str = RERUN) -> StageRecord:
    """Search the formulas with models that exist; returns the record of the ranking."""
    with start_run(config, command).watch() as run:
        table = None if config.crysdb is None else open_table(config.crysdb)
        return search_formulas(run, config, config.models, table)


def search_formulas(run: RunLog, plan: SearchPlan, models: Models, table: TableRecord | None) -> StageRecord:
    """The stages of a search, for this flow and the campaign; closes the run."""
    name, root, asked = str(run.state["name"]), str(run.root), plan.diagnostics
    formulas = run.step("choose formulas", choose_formulas, plan)
    if table is not None and models.templates == "auto":
        index = run.step("index templates", index_templates, table, root)
        models = models.model_copy(update={"templates": str(Path(index.path).resolve())})
    proposed = run.step_each("propose", propose_formula, formulas, models, plan.search, root)
    relaxed = run.step_each("relax candidates", relax_formula, proposed, models, plan.search, root)
    ranked = run.step("rank", rank_candidates, proposed, relaxed, models, root, table, plan.hull)
    names, pressed = diagnosed(ranked, asked)
    phonons = run.step_each("phonons", phonons_of, names, ranked, models, asked, root)
    pressure = run.step_each("pressure", pressure_of, pressed, ranked, models, asked, root)
    diagnoses = [*phonons, *pressure]
    report = run.step(
        "report", report_candidates, name, ranked, diagnoses, proposed, models, root, table, plan.hull, plan.seed
    )
    page = publish_folder(report.file("report"), Path(root) / "report") / "index.html"
    checked = run.step("validate with pw.x", validate_best, report, plan.handoff, root)
    stored = run.step("rows for CrysDB", collect_rows, plan.handoff, root) if checked else None
    run.step("announce", announce_screening, report, name, str(page.with_name("candidates.parquet")), root)
    run.finish("completed", summary=summarise(report, page, checked, stored))
    return report
