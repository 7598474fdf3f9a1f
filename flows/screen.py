"""The flow `screen-candidates`: propose, relax, judge, rank, report, and hand the best to Quantum ESPRESSO."""

from __future__ import annotations

from pathlib import Path

from dao_core.artifacts import StageRecord
from dao_core.crysdb.table import TableRecord
from dao_core.screening.report.publish import publish_report
from dao_core.screening.settings import ModelNames
from tasks.config import ScreenConfig, SearchPlan
from tasks.crysdb import open_table
from tasks.dft import collect_rows, show_in_page, validate_best
from tasks.prefect_api import flow
from tasks.preflight import start_run
from tasks.run_log import RunLog
from tasks.screening import announce_screening, search_with, summarise

RERUN = "prefect deployment run screen-candidates/screen-candidates"


@flow(name="screen-candidates", flow_run_name="{config.name}")
def screen_candidates(config: ScreenConfig, command: str = RERUN) -> StageRecord:
    """Search the formulas with models that exist.

    Args:
        config: Formulas, models and table.
        command: What continues it.

    Returns:
        The record of the report.
    """
    with start_run(config, command).watch() as run:
        table = None if config.crysdb is None else open_table(config.crysdb)
        return search_formulas(run, config, config.models, table)


def search_formulas(run: RunLog, plan: SearchPlan, models: ModelNames, table: TableRecord | None) -> StageRecord:
    """A search and what follows it, for this flow and the campaign; closes the run.

    Args:
        run: Log of the run.
        plan: Formulas and settings.
        models: By name.
        table: CrysDB table for templates, hull and novelty.

    Returns:
        The record of the report.
    """
    name, root = str(run.state["name"]), str(run.root)
    outcome = search_with(run, plan, models, table)
    report = outcome.report
    page = publish_report(report.file("report"), Path(root) / "report")
    # where the budget ended before anything was relaxed, the first of the list is no candidate yet
    checked = [] if outcome.unrelaxed else run.step("validate with pw.x", validate_best, report, plan.handoff, root)
    rows = run.step("rows for CrysDB", collect_rows, plan.handoff, root) if checked else None
    if checked:
        run.step("first principles in the page", show_in_page, checked, str(page))
    run.step("announce", announce_screening, report, name, str(page.with_name("candidates.parquet")), root)
    run.finish("completed", summary=summarise(report, page, checked, rows))
    return report
