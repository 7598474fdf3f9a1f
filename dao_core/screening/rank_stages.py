"""The last steps of a search: the ranking of everything that was found, what is asked of the best, and the report."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from dao_core.artifacts import StageRecord
from dao_core.energy.registry import NO_DISPERSION
from dao_core.screening.analysis.stages import diagnosis_notes, merge_diagnoses
from dao_core.screening.candidate import Candidate
from dao_core.screening.candidate_table import load_candidates, save_candidates
from dao_core.screening.context import SearchContext, Stage
from dao_core.screening.dimensionality import dispersion_note
from dao_core.screening.formulas import parse_formula
from dao_core.screening.generation import nothing_to_draw
from dao_core.screening.load_references import References, load_references
from dao_core.screening.pipeline import Screened, ScreenInputs, counts_of, screen
from dao_core.screening.proposals import Proposer
from dao_core.screening.proposed import KNOWN
from dao_core.screening.report.page import write_report
from dao_core.screening.report.page_data import ReportInfo
from dao_core.screening.select_formulas import formula_note
from dao_core.screening.stages import (
    CANDIDATES,
    INFO,
    FormulaRecords,
    first_rule,
    gather,
    ranking_rule,
    read_notes,
    seconds_of,
)
from dao_core.screening.work_done import ended_before_relaxing, unfinished_notes, unrelaxed_answer, work_done

NOTES_SHOWN = 20


@dataclass(frozen=True)
class _ReferenceKey:
    """A context as far as references depend on it."""

    context: SearchContext

    def __hash__(self) -> int:
        return hash((str(self.context.root), self.context.references))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _ReferenceKey):
            return False
        a, b = self.context, other.context
        return (a.root, a.references, a.loaded) == (b.root, b.references, b.loaded)


@lru_cache(maxsize=4)
def _references(formulas: tuple[str, ...], key: _ReferenceKey) -> References:
    context = key.context
    return load_references(formulas, context.references, context.loaded.decides, context.ledger)


def references_of(records: Sequence[FormulaRecords], context: SearchContext) -> References:
    """What the candidates of some formulas are compared with, made once a process.

    Args:
        records: What has been done for each formula.
        context: Of the search.

    Returns:
        Hull, known structures and their version.
    """
    if context.references.crysdb is None:
        return References()
    now = replace(context, references=context.references.pinned())  # a process may outlive an update of the table
    return _references(tuple(r.formula for r in records), _ReferenceKey(now))


def screen_inputs(context: SearchContext, references: References) -> ScreenInputs:
    """What the candidates of a search are compared with."""
    models = context.loaded
    potentials = [models.potential] if models.judge is None else [models.potential, models.judge]
    return ScreenInputs(references.hull, references.known, potentials, ranking_rule(context), models.library)


def comparable(references: References, candidates: Sequence[Candidate]) -> References:
    """The references of a search whose judge gave no energy (no time, or no answer to any structure) without the hull.

    The hull stands on the judge's energies, so nothing that is there can be placed on it.
    """
    labels = {c.energy_label for c in candidates if c.usable}
    if references.hull is None or not labels or references.hull.label in labels:
        return references
    note = f"Distances to the hull are unknown: no candidate has energies of {references.hull.label.made_by}."
    return replace(references, hull=None, notes=(*references.notes, note))


def preview(records: Sequence[FormulaRecords], context: SearchContext) -> list[Candidate]:
    """The candidates as far as they have come, ranked, without a hull; no model is loaded for it.

    Args:
        records: What has been done for each formula.
        context: Of the search.

    Returns:
        The candidates, best first.
    """
    candidates = [c for r in records for c in gather(r)]
    rule = first_rule(context) if any(c.usable for c in candidates) else None
    inputs = (
        ScreenInputs(library=context.loaded.library)
        if rule is None
        else ScreenInputs(
            rule=ranking_rule(context) if any(c.judged for c in candidates) else rule, library=context.loaded.library
        )
    )
    return screen(candidates, inputs).candidates


def rank_stage(records: Sequence[FormulaRecords], context: SearchContext) -> StageRecord:
    """Merge, place on the hull, compare with what is known and rank; the page's head as `info.json`.

    Args:
        records: What has been done for each formula.
        context: Of the search.

    Returns:
        The record of the stage.
    """
    references, settings = references_of(records, context), context.settings

    def work(directory: Path) -> dict[str, Any]:
        begin = time.monotonic()
        candidates = [c for r in records for c in gather(r)]
        compared = comparable(references, candidates)
        found = screen(candidates, screen_inputs(context, compared))
        info = search_info(records, candidates, found, context)
        info["notes"] = [*compared.notes, *info["notes"]]
        info["stages"] |= {"hull": references.seconds} if references.seconds else {}
        info["stages"]["rank"] = time.monotonic() - begin
        (directory / INFO).write_text(json.dumps(info))
        save_candidates(found.candidates, directory / CANDIDATES)
        return {"counts": counts_of(found)}

    def parts() -> dict[str, Any]:
        return {
            "records": [r.keys for r in records],
            "names": context.loaded.names,
            "order": context.settings.order,
            "limits": [settings.budget_seconds, settings.max_relaxed, settings.judge.n_judged],  # which notes name
            "references": references.key,
            "hull": None if references.hull is None else references.hull.label.made_by,
            "library": None if context.loaded.library is None else context.loaded.library.source,
        }

    return Stage("rank", (screen, search_info), parts).run(context, work)


def search_info(
    records: Sequence[FormulaRecords], candidates: Sequence[Candidate], found: Screened, context: SearchContext
) -> dict[str, Any]:
    """What the page's head says: counts that add up, seconds by kind of work, and notes.

    Args:
        records: The stages of each formula.
        candidates: All that came out of them, before merging.
        found: What was made of those.
        context: Of the search.
    """
    notes = read_notes(records)
    n_refused = len(notes["refused"])
    stages = {
        "propose": seconds_of([p for r in records for p in r.proposed]),
        "relax": seconds_of([p for r in records for p in r.relaxed]),
        "judge": seconds_of([p for r in records for p in r.judged]),
    }
    unrelaxed = [c for c in found.candidates if c.relaxation_status == "not_relaxed"]
    nothing = ended_before_relaxing(records, found.candidates, context)
    return {
        "n_asked": found.n_asked + n_refused,
        "n_ok": found.n_ok,
        "n_failed": found.n_failed + n_refused,
        "n_merged": found.n_merged,
        "reasons": {**found.reasons, **({"not made": n_refused} if n_refused else {})},
        "stages": {name: seconds for name, seconds in stages.items() if seconds},
        "work": work_done(candidates),
        "notes": [
            *_limits(records, unrelaxed, context, nothing), *unfinished_notes(records),
            *_without_proposals(records, candidates, context), *notes["not_tried"], *_refusals(notes["refused"]),
        ],
    }  # fmt: skip


def _without_proposals(
    records: Sequence[FormulaRecords], candidates: Sequence[Candidate], context: SearchContext
) -> list[str]:
    """The formulas of which nobody suggested any structure, with what would."""
    named = {c.formula for c in candidates}
    empty = [r.formula for r in records if parse_formula(r.formula, typed=False).reduced not in named]
    if not empty:
        return []
    remedy = ": --generator dao draws some" if context.loaded.generator is None and not context.late() else ""
    return [f"{formula}: nothing known and no template fits{remedy}" for formula in empty]


def _limits(
    records: Sequence[FormulaRecords], unrelaxed: Sequence[Candidate], context: SearchContext, nothing_relaxed: bool
) -> list[str]:
    """What cut the search short, each with what lifts it, and what is unusual about its formulas."""
    lines = [note for r in records if (note := formula_note(parse_formula(r.formula, typed=False))) is not None]
    lines += context.loaded.notes
    lines += _ungenerated(records, context)
    budget, most = context.settings.budget_seconds, context.settings.max_relaxed
    if budget is not None and nothing_relaxed:
        return [unrelaxed_answer(budget), *lines]
    improbable = 0 if context.late() else sum(c.origin == KNOWN for c in unrelaxed)
    left = len(unrelaxed) - improbable
    missed = "1 proposal was" if left == 1 else f"{left} proposals were"
    if left and most is not None:
        lines.append(f"{missed} not relaxed (--relax {most} a formula)")
    elif left and budget is not None:
        lines.append(
            f"{missed} not relaxed within {budget:g} s and {'has' if left == 1 else 'have'} no probability "
            "(a larger --budget relaxes more; `dao screen` goes on where it stopped)"
        )
    if improbable:
        judged = context.settings.judge.n_judged
        lines.append(
            f"{improbable} known structure{' has' if improbable == 1 else 's have'} no probability: "
            f"the judge looks at the {judged} most probable candidates (`dao screen --n-judged` sets how many), "
            "and at none that is far behind"
        )
    return lines


def _ungenerated(records: Sequence[FormulaRecords], context: SearchContext) -> list[str]:
    """The formulas of which the budget let nothing be generated, and those of which nothing could be."""
    settings = context.settings
    wanted = settings.n_generated + settings.n_seeded
    # steps stop at their own shares of the budget, so the clock says nothing here: what is missing does
    missing = [r.formula for r in records if len(r.proposed) == 1] if wanted else []
    if settings.budget_seconds is None or not missing:
        return []
    lines = []
    if not settings.given.active:  # else the cells depend on what is given
        proposers = [Proposer(parse_formula(text, typed=False), context.loaded, settings) for text in missing]
        lines = [note for proposer in proposers if (note := nothing_to_draw(proposer)) is not None]
    if late := len(missing) - len(lines):
        lines.append(
            (f"{late} of {len(records)} formulas got" if len(records) > 1 else "there are")
            + f" no generated structures: {settings.budget_seconds:g} s were too short (a larger --budget makes them)"
        )
    return lines


def _refusals(refused: Sequence[str]) -> list[str]:
    lines = sorted(set(refused))
    more = [f"and {len(lines) - NOTES_SHOWN} more that could not be made"] if len(lines) > NOTES_SHOWN else []
    return [f"not made: {line}" for line in lines[:NOTES_SHOWN]] + more


@dataclass(frozen=True)
class ReportRequest:
    """A report to write: its title, what diagnostics were made, formulas that the budget didn't reach, notes."""

    title: str
    diagnosed: tuple[StageRecord, ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def report_stage(
    ranked: StageRecord, records: Sequence[FormulaRecords], request: ReportRequest, context: SearchContext
) -> StageRecord:
    """Write the page and its files: what diagnostics said is added, and what they found is ranked with the rest.

    Args:
        ranked: From `rank_stage`.
        records: What has been done for each formula.
        request: Title and diagnostics of the report.
        context: Of the search.

    Returns:
        The record of the stage: `report/` holds the page and all files; `candidates.parquet` the ranked candidates.
    """
    references = references_of(records, context)
    models = context.loaded

    def work(directory: Path) -> dict[str, Any]:
        candidates, info = _diagnosed(ranked, request, context, references)
        head = _head(request, context, references, info)
        write_report(candidates, directory / "report", info=head, hull=references.hull)
        save_candidates(candidates, directory / CANDIDATES)
        (directory / INFO).write_text(json.dumps(asdict(head)))
        names = ("n_asked", "n_ok", "n_failed", "n_merged")
        return {"counts": {n: int(info[n]) for n in names} | {"n_distinct": len(candidates)}}

    def parts() -> dict[str, Any]:
        return {
            "ranked": ranked.key,
            "diagnosed": sorted(r.key for r in request.diagnosed),
            "title": request.title,
            "skipped": request.skipped,
            "notes": request.notes,
            "models": [models.names, None if models.generator is None else models.generator.identity],
            "seed": context.settings.seed,
        }

    return Stage("report", (write_report, merge_diagnoses, screen, dispersion_note), parts).run(context, work)


def _diagnosed(
    ranked: StageRecord, request: ReportRequest, context: SearchContext, references: References
) -> tuple[list[Candidate], dict[str, Any]]:
    """The ranked candidates with what diagnostics said and found, and the counts, seconds and notes of the page."""
    info: dict[str, Any] = json.loads(ranked.file(INFO).read_text())
    candidates, new = merge_diagnoses(load_candidates(ranked.file(CANDIDATES)), request.diagnosed)
    if new:
        before = {c.id: c.spacegroup_before for c in candidates}  # those structures are symmetrised already
        everything = [*candidates, *new]
        found = screen(everything, screen_inputs(context, comparable(references, everything))).candidates
        candidates = [c.replace(spacegroup_before=before.get(c.id, c.spacegroup_before)) for c in found]
        _count_new(info, new, candidates)
    for record in request.diagnosed:
        kind = str(record.facts["kind"])
        info["stages"][kind] = info["stages"].get(kind, 0.0) + float(record.facts["seconds"])
    own = [*request.notes, *_skipped(request.skipped), *_dispersion(candidates, info["notes"])]
    info["notes"] = [*own, *diagnosis_notes(request.diagnosed), *info["notes"]]
    return candidates, info


def _count_new(info: dict[str, Any], new: Sequence[Candidate], ranked: Sequence[Candidate]) -> None:
    """Add what diagnostics found to the counts of the page."""
    reasons = Counter(c.relaxation_status for c in new if c.rejected)
    info["n_asked"] += len(new)
    info["n_failed"] += reasons.total()
    info["n_ok"] += len(new) - reasons.total()
    info["n_merged"] = info["n_ok"] - sum(not c.rejected for c in ranked)
    info["reasons"] = dict(Counter(info["reasons"]) + reasons)


def _dispersion(candidates: Sequence[Candidate], notes: Sequence[str]) -> list[str]:
    """What needs dispersion and has none, unless it was asked for in vain, which a note says already."""
    return [] if any(note.startswith(NO_DISPERSION) for note in notes) else dispersion_note(candidates)


def _head(request: ReportRequest, context: SearchContext, references: References, info: dict[str, Any]) -> ReportInfo:
    """What the page's head says."""
    models = context.loaded
    return ReportInfo(
        title=request.title,
        model=None if models.generator is None else models.generator.identity,
        potential=models.potential.identity,
        judge=None if models.judge is None else models.judge.identity,
        library=None if models.library is None else models.library.source,
        seed=context.settings.seed,
        database_version=references.version,
        created=_today(),
        software=_software(),
        **info,
    )


def _skipped(formulas: Sequence[str]) -> list[str]:
    return [f"not reached within the budget: {', '.join(formulas)} (give a larger --budget)"] if formulas else []


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _software() -> str:
    from importlib.metadata import version

    return f"DAO {version('dao-csp')}"
