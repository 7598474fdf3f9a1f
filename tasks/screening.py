"""Tasks of a screening: reference hull, proposals, relaxation in pieces, ranking and report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from dao_core.artifacts import StageRecord, content_key
from dao_core.crysdb.table import TableRecord
from dao_core.dft.to_crysdb import CrysdbRows
from dao_core.screening.analysis.stages import DiagnosticsSettings
from dao_core.screening.formulas import parse_formula
from dao_core.screening.load_references import HullChoice, References
from dao_core.screening.search import SearchModels, SearchSettings
from tasks.config import Models, SearchPlan
from tasks.crysdb import ledger_of
from tasks.dft import ValidationSummary
from tasks.prefect_api import create_markdown_artifact, create_table_artifact, emit_event, get_run_logger, task

SCREENING, FINISHED = "dao.screening", "dao.screening.finished"  # resource and event that may start a validation


@lru_cache(maxsize=2)
def toolbox(models: Models) -> SearchModels:
    """Load the models once a process."""
    from dao_core.screening.load_models import load_search_models

    return load_search_models(generator=models.generator, potential=models.potential, templates=models.templates)


@task(name="index templates")
def index_templates(table: TableRecord, root: str) -> StageRecord:
    """The template index over a version of CrysDB, kept beside the table so that the next search finds it."""
    from dao_core.artifacts import Ledger
    from dao_core.crysdb.table import CrysTable
    from dao_core.generate.templates.from_crysdb import crysdb_templates

    beside = Path(table.path).parent
    ledger = Ledger(beside / "ledger") if os.access(beside, os.W_OK) else ledger_of(root)
    return crysdb_templates(CrysTable(table.path), ledger, version=table.version)


@task(name="propose structures")
def propose_formula(formula: str, models: Models, settings: SearchSettings, root: str) -> StageRecord:
    """Templates and samples for one formula, with their energies as they stand."""
    from dao_core.screening.stages import propose_stage

    return propose_stage(ledger_of(root), parse_formula(formula), toolbox(models), settings)


@task(name="relax candidates", retries=1)
def relax_formula(proposed: StageRecord, models: Models, settings: SearchSettings, root: str) -> list[StageRecord]:
    """Relax a formula's proposals piece by piece; pieces that are done are not repeated."""
    from dao_core.screening.stages import n_chunks, relax_stage

    ledger, potential = ledger_of(root), toolbox(models).potential
    return [relax_stage(ledger, proposed, i, potential, settings) for i in range(n_chunks(proposed, settings))]


@task(name="choose formulas")
def choose_formulas(plan: SearchPlan) -> list[str]:
    """The reduced formulas of a search; what is left out (no charge balance, a wrong row) is logged."""
    from dao_core.screening.formulas import FormulaError, select_formulas

    found = select_formulas(plan.formulas, system=plan.system, file=plan.file, unbalanced=plan.unbalanced,
                            max_atoms=min(10, plan.search.max_atoms))  # fmt: skip
    for reason in found.left_out:
        get_run_logger().warning("left out: %s", reason)
    if not found.formulas:
        raise FormulaError(f"nothing is left to search ({'; '.join(found.left_out)}); `unbalanced: true` searches all")
    return [f.reduced for f in found.formulas]


@lru_cache(maxsize=2)
def _references(
    formulas: tuple[str, ...], models: Models, table: tuple[str, int] | None, hull: HullChoice, root: str
) -> References:
    """Hull and known structures once a process; the phases of the hull are stages of the ledger."""
    from dao_core.screening.load_references import load_references

    where, version = (None, None) if table is None else table
    tools = toolbox(models)
    return load_references(where, formulas, tools.potential, version=version, hull=hull, ledger=ledger_of(root))


def references_of(
    proposed: Sequence[StageRecord], models: Models, table: TableRecord | None, hull: HullChoice, root: str
) -> References:
    """What the candidates of these formulas are compared with."""
    formulas = tuple(str(p.facts["formula"]) for p in proposed)
    return _references(formulas, models, None if table is None else (table.path, table.version), hull, root)


@task(name="rank")
def rank_candidates(
    proposed: Sequence[StageRecord],
    relaxed: Sequence[Sequence[StageRecord]],
    models: Models,
    root: str,
    table: TableRecord | None = None,
    hull: HullChoice = "auto",
) -> StageRecord:
    """Merge duplicates, place on a hull of the same potential, judge novelty and rank."""
    from dao_core.screening.stages import rank_stage

    references = references_of(proposed, models, table, hull, root)
    shards = [shard for shards in relaxed for shard in shards]
    return rank_stage(ledger_of(root), proposed, shards, toolbox(models).potential, references=references)


@task(name="phonons")
def phonons_of(name: str, ranked: StageRecord, models: Models, settings: DiagnosticsSettings, root: str) -> StageRecord:
    """Vibrations of one candidate; an imaginary mode is followed."""
    from dao_core.screening.analysis.stages import phonon_stage
    from dao_core.screening.stages import CANDIDATES

    return phonon_stage(ledger_of(root), ranked.file(CANDIDATES), name, toolbox(models).potential, settings)


@task(name="pressure")
def pressure_of(
    formula: str, ranked: StageRecord, models: Models, settings: DiagnosticsSettings, root: str
) -> StageRecord:
    """Enthalpies of one formula's polymorphs."""
    from dao_core.screening.analysis.stages import pressure_stage
    from dao_core.screening.stages import CANDIDATES

    return pressure_stage(ledger_of(root), ranked.file(CANDIDATES), formula, toolbox(models).potential, settings)


def diagnosed(ranked: StageRecord, settings: DiagnosticsSettings) -> tuple[list[str], list[str]]:
    """Candidates whose phonons, and formulas whose order under pressure, are wanted."""
    from dao_core.screening.analysis.stages import phonon_targets, pressure_targets
    from dao_core.screening.candidate_table import load_candidates
    from dao_core.screening.stages import CANDIDATES

    candidates = load_candidates(ranked.file(CANDIDATES))
    return phonon_targets(candidates, settings), pressure_targets(candidates, settings)


@task(name="report")
def report_candidates(
    title: str,
    ranked: StageRecord,
    diagnoses: Sequence[StageRecord],
    proposed: Sequence[StageRecord],
    models: Models,
    root: str,
    table: TableRecord | None = None,
    hull: HullChoice = "auto",
    seed: int = 0,
) -> StageRecord:
    """Add what the diagnostics said, rank what they found, and write the report."""
    from dao_core.screening.stages import report_stage

    tools = toolbox(models)
    facts = {
        "model": None if tools.generator is None else tools.generator.identity,
        "database_version": None if table is None else str(table.version),
        "seed": seed,
    }
    references = references_of(proposed, models, table, hull, root)
    record = report_stage(ledger_of(root), ranked, tools.potential, title=title, diagnosed=diagnoses,
                          references=references, facts=facts)  # fmt: skip
    report_artifacts(title, record)
    return record


@task(name="announce")
def announce_screening(ranked: StageRecord, name: str, candidates: str, root: str) -> None:
    """Tell the server that a ranking is finished, once a ranking: its validation may be waiting for it."""

    def work(_: Path) -> None:
        resource = {"prefect.resource.id": f"{SCREENING}.{name}", "name": name, "candidates": candidates}
        emit_event(FINISHED, resource=resource)

    ledger_of(root).run("announced", content_key(event=FINISHED, name=name, ranking=ranked.key), work)


def report_artifacts(title: str, record: StageRecord, *, limit: int = 20) -> None:
    """The best candidates as a table and the counts as text in the Prefect UI."""
    from dao_core.screening.candidate_table import load_candidates
    from dao_core.screening.stages import CANDIDATES

    best = load_candidates(record.file(CANDIDATES))[:limit]
    names = (
        "formula",
        "spacegroup_after",
        "energy_per_atom",
        "e_above_hull",
        "origin",
        "relaxation_status",
        "n_merged",
    )
    rows = [{"rank": i, **{n: getattr(c, n) for n in names}} for i, c in enumerate(best, start=1)]
    page = Path(record.path) / "report" / "index.html"
    if rows:
        create_table_artifact(key="candidates", table=rows, description=title)
    counts = ", ".join(f"{v} {k}" for k, v in record.counts.items())
    create_markdown_artifact(key="report", markdown=f"# {title}\n\n{counts}\n\nPage: `{page}`")


def summarise(
    ranked: StageRecord, page: Path, checked: list[ValidationSummary], stored: CrysdbRows | None
) -> dict[str, Any]:
    """Counts, the report's path, pw.x's summaries and where their rows are."""
    rows = None if stored is None else asdict(stored)
    return {"counts": ranked.counts, "report": str(page), "pw.x": [asdict(v) for v in checked], "rows": rows}
