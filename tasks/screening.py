"""Tasks of a screening: the steps of the one conductor (dao_core/screening/search.py) as Prefect tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dao_core.artifacts import StageRecord, content_key
from dao_core.crysdb.table import TableRecord
from dao_core.dft.to_crysdb import CrysdbRows
from dao_core.screening.context import SearchContext
from dao_core.screening.formulas import Formula, FormulaError
from dao_core.screening.load_models import load_library
from dao_core.screening.load_references import ReferenceSettings
from dao_core.screening.search import Conductor, SearchOutcome, title_of
from dao_core.screening.select_formulas import SystemRequest, select_formulas
from dao_core.screening.settings import ModelNames
from tasks.config import SearchPlan
from tasks.crysdb import ledger_of
from tasks.dft import ValidationSummary
from tasks.prefect_api import create_markdown_artifact, create_table_artifact, emit_event, get_run_logger, task

if TYPE_CHECKING:
    from prefect.tasks import Task

    from tasks.run_log import RunLog

T = TypeVar("T")
SCREENING, FINISHED = "dao.screening", "dao.screening.finished"  # resource and event that may start a validation
NAMES = {"look_stage": "look up", "propose_stage": "propose structures", "generate_stage": "generate structures",
         "relax_stage": "relax candidates", "shortlist_stage": "choose what is judged",
         "judge_stage": "judge candidates", "rank_stage": "rank", "report_stage": "report",
         "phonon_stage": "phonons", "pressure_stage": "pressure"}  # fmt: skip


@lru_cache(maxsize=32)
def as_task(work: Callable[..., Any]) -> Task[Any, Any]:
    """A step of the conductor as a Prefect task; one that lost its worker is tried once more."""
    made: Task[Any, Any] = task(name=NAMES.get(work.__name__, work.__name__), retries=1)(work)
    return made


class FlowRunner:
    """Runs the steps of a search as tasks of a flow, on the workers of its run."""

    def __init__(self, run: RunLog) -> None:
        """Take the run whose log and workers are used."""
        self._run = run

    def step(self, name: str, work: Callable[..., T], *args: Any) -> T:
        """`work(*args)` as one task."""
        return cast("T", self._run.step(name, as_task(work), *args))

    def step_each(self, name: str, work: Callable[..., T], items: Sequence[Any], *args: Any) -> list[T]:
        """`work(item, *args)` for each item, spread over the workers."""
        return cast("list[T]", self._run.step_each(name, as_task(work), items, *args))


@task(name="index templates")
def index_templates(table: TableRecord, root: str) -> StageRecord:
    """The template index over a version of CrysDB, kept beside the table so that the next search finds it."""
    from dao_core.artifacts import Ledger
    from dao_core.crysdb.table import CrysTable
    from dao_core.generate.templates.from_crysdb import crysdb_templates

    beside = Path(table.path).parent
    ledger = Ledger(beside / "ledger") if os.access(beside, os.W_OK) else ledger_of(root)
    return crysdb_templates(CrysTable(table.path), ledger, version=table.version)


@task(name="choose formulas")
def choose_formulas(plan: SearchPlan, library: str = "auto") -> list[Formula]:
    """The formulas of a search; what is left out (a wrong row, a formula that is too large) is logged."""
    system = None
    if plan.system is not None:
        known = load_library(library).structures
        system = SystemRequest(plan.system, plan.unit_atoms, plan.unbalanced, () if known is None else known.formulas(),
                               plan.search.max_atoms)  # fmt: skip
    selection = select_formulas(plan.formulas, file=plan.file, system=system)
    for line in (*selection.left_out, *selection.notes):
        get_run_logger().warning("%s", line)
    if not selection.formulas:
        raise FormulaError(f"nothing is left to search ({'; '.join(selection.left_out)}); `unbalanced: true` takes all")
    return selection.formulas


def search_with(run: RunLog, plan: SearchPlan, models: ModelNames, table: TableRecord | None) -> SearchOutcome:
    """Choose the formulas of a plan and take them through the conductor, in the folder and on the workers of a run.

    Args:
        run: Whose folder and workers are used.
        plan: Formulas and settings.
        models: By name.
        table: CrysDB table for templates, hull and novelty.

    Returns:
        Records of the search.
    """
    root = str(run.root)
    formulas = run.step("choose formulas", choose_formulas, plan, models.library)
    if table is not None and models.templates == "auto":
        index = run.step("index templates", index_templates, table, root)
        models = models.model_copy(update={"templates": str(Path(index.path).resolve())})
    references = ReferenceSettings(
        crysdb=None if table is None else Path(table.path), version=None if table is None else table.version,
        hull=plan.hull,
    )  # fmt: skip
    context = SearchContext(ledger_of(root).root, models, plan.search, references, plan.diagnostics)
    outcome = Conductor(context, FlowRunner(run)).run(formulas, str(run.state["name"]) or title_of(formulas))
    run.step("show in the server", show_report, str(run.state["name"]), outcome.report)
    return outcome


@task(name="show in the server")
def show_report(title: str, record: StageRecord, *, limit: int = 20) -> None:
    """The best candidates as a table and the counts as text in the Prefect UI."""
    from dao_core.screening.candidate_table import load_candidates
    from dao_core.screening.stages import CANDIDATES

    best = load_candidates(record.file(CANDIDATES))[:limit]
    names = ("shown_formula", "spacegroup_after", "probability", "energy_per_atom", "energy_identity", "e_above_hull",
             "origin", "relaxation_status", "n_merged")  # fmt: skip
    rows = [{"rank": i, **{n: getattr(c, n) for n in names}} for i, c in enumerate(best, start=1)]
    page = Path(record.path) / "report" / "index.html"
    if rows:
        create_table_artifact(key="candidates", table=rows, description=title)
    counts = ", ".join(f"{v} {k}" for k, v in record.counts.items())
    create_markdown_artifact(key="report", markdown=f"# {title}\n\n{counts}\n\nPage: `{page}`")


@task(name="announce")
def announce_screening(report: StageRecord, name: str, candidates: str, root: str) -> None:
    """Tell the server that a ranking is finished, once a ranking: its validation may be waiting for it."""

    def work(_: Path) -> None:
        resource = {"prefect.resource.id": f"{SCREENING}.{name}", "name": name, "candidates": candidates}
        emit_event(FINISHED, resource=resource)

    ledger_of(root).run("announced", content_key(event=FINISHED, name=name, ranking=report.key), work)


def summarise(
    report: StageRecord, page: Path, checked: list[ValidationSummary], rows: CrysdbRows | None
) -> dict[str, Any]:
    """What a screening tells when it ends.

    Args:
        report: Stage of the report.
        page: Its path.
        checked: Summaries of the validations.
        rows: Where their rows are.

    Returns:
        Counts and paths by name.
    """
    made = None if rows is None else asdict(rows)
    return {"counts": report.counts, "report": str(page), "pw.x": [asdict(s) for s in checked], "rows": made}
