"""Tasks of a screening: reference hull, proposals, relaxation in pieces, ranking and report."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from dao_core.artifacts import StageRecord
from dao_core.screening.formulas import parse_formula
from dao_core.screening.search import SearchSettings, Toolbox
from tasks.config import Models
from tasks.crysdb import TableRecord, ledger_of
from tasks.engine import create_markdown_artifact, create_table_artifact, emit_event, task


@lru_cache(maxsize=2)
def toolbox(models: Models) -> Toolbox:
    """Load the models once a process."""
    from dao_core.screening.toolbox import load_toolbox

    return load_toolbox(generator=models.generator, potential=models.potential, templates=models.templates)


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


@task(name="rank and report")
def rank_candidates(
    title: str,
    proposed: Sequence[StageRecord],
    relaxed: Sequence[Sequence[StageRecord]],
    models: Models,
    root: str,
    table: TableRecord | None = None,
    seed: int = 0,
) -> StageRecord:
    """Merge duplicates, place on a hull of the same potential, judge novelty, rank and write the report."""
    from dao_core.screening.references import load_references
    from dao_core.screening.stages import rank_stage

    tools = toolbox(models)
    formulas = [str(p.facts["formula"]) for p in proposed]
    where, version = (None, None) if table is None else (table.path, table.version)
    references = load_references(where, formulas, tools.potential, version=version)
    record = rank_stage(
        ledger_of(root),
        proposed,
        [shard for shards in relaxed for shard in shards],
        tools.potential,
        title=title,
        hull=references.hull,
        known=references.known,
        references=references.key,
        facts={
            "model": None if tools.generator is None else tools.generator.identity,
            "database_version": None if table is None else str(table.version),
            "seed": seed,
        },
    )
    report_artifacts(title, record)
    emit_event("dao.screening.finished", resource={"prefect.resource.id": "dao.screening", "name": title})
    return record


def report_artifacts(title: str, record: StageRecord, *, limit: int = 20) -> None:
    """The best candidates as a table and the counts as text in the Prefect UI."""
    from dao_core.screening.stages import CANDIDATES
    from dao_core.screening.stored import load_candidates

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
