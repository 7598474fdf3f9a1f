"""The steps of a search as ledger stages: each finished piece is found again, so a killed screening continues."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from dao_core.artifacts import StageRecord
from dao_core.screening.candidate import START_SUFFIX, Candidate
from dao_core.screening.candidate_table import load_candidates, save_candidates
from dao_core.screening.context import SearchContext, Stage, UnfinishedError
from dao_core.screening.formulas import Formula, parse_formula
from dao_core.screening.generation import generate
from dao_core.screening.load_models import SearchModels
from dao_core.screening.pipeline import ScreenInputs, counts_of, screen
from dao_core.screening.proposals import Proposer, propose_at_once, propose_known
from dao_core.screening.proposed import Proposals
from dao_core.screening.ranking import RankingRule, log_posteriors
from dao_core.screening.relaxing import (
    UNFINISHED,
    Relaxer,
    on_its_own,
    proposal_candidate,
    with_energies,
    with_spread,
)
from dao_core.screening.settings import SearchSettings

CANDIDATES, NOTES, INFO = "candidates.parquet", "notes.json", "info.json"
PATIENCE = 4.0  # budgets that a certain piece of the judge may take: without its energy a large cell has no answer
OVERTIME = 2.0  # of the budget, after which nothing begins but the first energies of one formula
PROPOSAL_SETTINGS = {"max_atoms", "generated_atoms", "z", "n_generated", "n_seeded", "n_templates", "seed", "guidance"}


@dataclass(frozen=True)
class Piece:
    """Some rows of a stage's candidates; `certain` pieces are worked on even when the time is spent.

    The first energies are finished once they are begun, however long they take; the judge has as long as the budget
    for a piece, `PATIENCE` budgets for a certain one, and begins none after twice the budget.
    """

    record: StageRecord
    rows: tuple[int, ...]
    certain: bool = False

    @property
    def candidates(self) -> list[Candidate]:
        """The rows themselves."""
        table = load_candidates(self.record.file(CANDIDATES))
        return [table[i] for i in self.rows]


@dataclass(frozen=True)
class FormulaRecords:
    """What there is of one formula: proposals, and pieces of them that were relaxed or judged."""

    formula: str
    proposed: tuple[StageRecord, ...]
    relaxed: tuple[StageRecord, ...] = ()
    judged: tuple[StageRecord, ...] = ()

    def with_stage(self, kind: Literal["relaxed", "judged"], record: StageRecord) -> FormulaRecords:
        """The same with one stage more."""
        if kind == "relaxed":
            return replace(self, relaxed=(*self.relaxed, record))
        return replace(self, judged=(*self.judged, record))

    @property
    def relaxed_at_all(self) -> bool:
        """Whether any relaxation of the formula was made and not broken off."""
        return any(UNFINISHED not in r.facts for r in (*self.relaxed, *self.judged))

    @property
    def keys(self) -> list[list[str]]:
        """For content keys."""
        return [[r.key for r in records] for records in (self.proposed, self.relaxed, self.judged)]


def propose_stage(text: str, context: SearchContext) -> StageRecord | None:
    """What is known of a formula, and what templates and symmetry suggest for it, the most probable first.

    Args:
        text: The formula as typed.
        context: Of the search.

    Returns:
        The record of the stage; None where the budget is spent and no earlier search finished it.

    Raises:
        FormulaError: The text is no formula, or no cell of it is small enough.
    """
    formula = parse_formula(text, typed=False)

    def parts() -> dict[str, Any]:
        generator = context.loaded.generator
        return {**_known_by(text, context), "generator": None if generator is None else generator.identity}

    def work(directory: Path) -> dict[str, Any]:
        made = propose_known(_proposer(text, context.loaded, context.settings))
        return _write_proposals(directory, _likeliest_first(made, formula), made, formula)

    stage = Stage("propose", (propose_known,), parts)
    return stage.found(context) if context.late() else stage.run(context, work)


def first_look(text: str, context: SearchContext) -> list[Candidate]:
    """What is known of a formula and what templates say, ranked, before any model is loaded.

    A view for whoever waits, not a stage: `propose_stage` looks anew, with the symmetry model, and keeps what it finds.

    Args:
        text: The formula as typed.
        context: Of the search.
    """
    made = propose_at_once(_proposer(text, context.loaded, context.settings))
    candidates = _likeliest_first(made, parse_formula(text, typed=False))
    return screen(candidates, ScreenInputs(library=context.loaded.library)).candidates


def look_stage(text: str, context: SearchContext, share: float | None = None) -> StageRecord | None:
    """What `first_look` shows, as the proposals of a search whose budget left no time for others; no model is loaded.

    Args:
        text: The formula as typed.
        context: Of the search.
        share: Multiple of the budget after which it isn't made; None makes it in any case.

    Returns:
        The record of the stage; None where that time is spent.
    """
    if share is not None and context.late(share):
        return None
    formula = parse_formula(text, typed=False)

    def work(directory: Path) -> dict[str, Any]:
        made = propose_at_once(_proposer(text, context.loaded, context.settings))
        return _write_proposals(directory, _likeliest_first(made, formula), made, formula)

    return Stage("look", (propose_at_once,), lambda: _known_by(text, context)).run(context, work)


def _known_by(text: str, context: SearchContext) -> dict[str, Any]:
    """What the known and likely structures of a formula depend on."""
    models = context.loaded
    return {
        "formula": text,
        "templates": None if models.templates is None else models.templates.source,
        "library": None if models.library is None else models.library.source,
        "settings": context.settings.model_dump(include=PROPOSAL_SETTINGS - {"guidance", "seed"}),
        "given": context.settings.given.fingerprint(),
    }


def _likeliest_first(made: Proposals, formula: Formula) -> list[Candidate]:
    rows = [proposal_candidate(p, formula.shown) for p in made.items]
    return sorted(rows, key=lambda c: (c.log_prior is None, -(c.log_prior or 0.0), c.id))


def generate_stage(text: str, context: SearchContext) -> StageRecord | None:
    """Samples of the generative model with their energies as they stand, the most probable first.

    Args:
        text: The formula as typed.
        context: Of the search.

    Returns:
        The record of the stage; None where the budget is spent and no earlier search finished it.
    """
    formula = parse_formula(text, typed=False)

    def parts() -> dict[str, Any]:
        models = context.loaded
        return {
            "formula": text,
            "generator": None if models.generator is None else models.generator.identity,
            "templates": None if models.templates is None else models.templates.source,
            "library": None if models.library is None else models.library.source,
            "potential": models.potential.identity,
            "settings": context.settings.model_dump(include=PROPOSAL_SETTINGS),
            "given": context.settings.given.fingerprint(),
        }

    def work(directory: Path) -> dict[str, Any]:
        made = generate(_proposer(text, context.loaded, context.settings))
        rows = with_energies([proposal_candidate(p, formula.shown) for p in made.items], context.loaded.potential)
        logs = log_posteriors(rows, first_rule(context))
        rows.sort(key=lambda c: (-logs[c.id], c.id))
        return _write_proposals(directory, rows, made, formula)

    stage = Stage("generate", (generate, log_posteriors), parts)
    return stage.found(context) if context.late(0.6) else stage.run(context, work)


@lru_cache(maxsize=64)
def _proposer(text: str, models: SearchModels, settings: SearchSettings) -> Proposer:
    """The same one for all stages in one process: what it has suggested is not worked out again."""
    return Proposer(parse_formula(text, typed=False), models, settings)


def _write_proposals(directory: Path, rows: list[Candidate], made: Proposals, formula: Formula) -> dict[str, Any]:
    save_candidates(rows, directory / CANDIDATES)
    notes = {"refused": made.refused, "not_tried": made.not_tried}
    (directory / NOTES).write_text(json.dumps(notes))
    counts = {"n_asked": len(rows) + len(made.refused), "n_ok": len(rows), "n_failed": len(made.refused)}
    return {"counts": counts, "facts": {"formula": formula.text}}


def relax_stage(piece: Piece, context: SearchContext, share: float = 1.0) -> StageRecord | None:
    """Relax some proposals with the search's first potential.

    Args:
        piece: Which proposals.
        context: Of the search.
        share: Part of the budget after which no piece is begun that isn't certain.

    Returns:
        The record of the stage; None where that share is spent and no earlier search finished it.
    """
    settings = context.settings

    def parts() -> dict[str, Any]:
        return {
            "proposals": piece.record.key,
            "rows": piece.rows,
            "potential": context.loaded.potential.identity,
            "relax": settings.relax.model_dump(),
            "keep_symmetry": settings.keep_symmetry,
            "given": settings.given.fingerprint(),
        }

    def work(directory: Path) -> dict[str, Any]:
        potential = context.loaded.potential
        relaxed = with_spread(Relaxer(potential, settings).first(piece.candidates), potential)
        return _write_relaxed(directory, relaxed, piece)

    stage = Stage("relax", (Relaxer, with_spread), parts)
    return stage.found(context) if context.late(share) and not piece.certain else stage.run(context, work)


def shortlist_stage(records: FormulaRecords, context: SearchContext) -> StageRecord:
    """Everything there is of a formula, merged and in the order in which the judge should look at it."""

    def work(directory: Path) -> dict[str, Any]:
        potentials = [context.loaded.potential]  # whether a small distortion is real is for it to say, before the judge
        found = screen(gather(records), ScreenInputs(potentials=potentials, rule=ranking_rule(context)))
        save_candidates(found.candidates, directory / CANDIDATES)
        return {"counts": dict(counts_of(found)), "facts": {"formula": records.formula}}

    def parts() -> dict[str, Any]:
        return {"records": records.keys, "names": context.loaded.names}

    return Stage("shortlist", (screen, gather), parts).run(context, work)


def judge_stage(piece: Piece, context: SearchContext, share: float = 1.0) -> StageRecord | None:
    """Relax candidates of a shortlist with the judge.

    Args:
        piece: Which candidates.
        context: Of the search.
        share: Part of the budget after which no piece is begun that isn't certain; that one has twice the budget.

    Returns:
        The record of the stage; None where that share is spent and no earlier search finished it.
    """
    judge = context.loaded.judge
    if judge is None:
        return None
    settings, candidates = context.settings, piece.candidates

    def parts() -> dict[str, Any]:
        return {
            "candidates": [_judged_from(c) for c in candidates],
            "judge": judge.identity,
            "relax": settings.judge.relax.model_dump(),
            "r2scan": settings.judge.r2scan,
            "keep_symmetry": settings.keep_symmetry,
            "given": settings.given.fingerprint(),
        }

    def work(directory: Path) -> dict[str, Any]:
        limit = context.limit(PATIENCE if piece.certain else 1.0)
        relaxer = Relaxer(judge, settings, limit)
        judged = [made for c in candidates for made in relaxer.judge(c)]
        if limit is None or not limit.passed:
            return _write_relaxed(directory, judged, piece)
        raise UnfinishedError(lambda folder: _write_relaxed(folder, judged, piece))

    stage = Stage("judge", (Relaxer,), parts)
    late = context.late(OVERTIME if piece.certain else share)
    return stage.found(context) if late else stage.run(context, work)


def _judged_from(c: Candidate) -> list[Any]:
    """All of a candidate on which the judge's own depends: an id alone may mean another structure in another run."""
    crystal = c.crystal
    structure = [crystal.atomic_numbers.tolist(), crystal.lattice.tolist(), crystal.frac_coords.tolist()]
    return [c.id, *structure, c.library_id, c.energy_per_atom, c.energy_identity, c.energy_kind]


def _write_relaxed(directory: Path, candidates: list[Candidate], piece: Piece) -> dict[str, Any]:
    """Write what became of a piece, and how much of it was broken off."""
    save_candidates(candidates, directory / CANDIDATES)
    unfinished = sum(UNFINISHED in c.provenance for c in candidates)
    facts = {**piece.record.facts, **({UNFINISHED: unfinished} if unfinished else {})}
    return {"counts": _counts(candidates), "facts": facts}


def _counts(candidates: Sequence[Candidate]) -> dict[str, int]:
    n_ok = sum(not c.rejected for c in candidates)
    return {"n_asked": len(candidates), "n_ok": n_ok, "n_failed": len(candidates) - n_ok}


def gather(records: FormulaRecords) -> list[Candidate]:
    """Every candidate of a formula once, as far as it has come: proposed, relaxed, judged; none of them merged."""
    found: dict[str, Candidate] = {}
    for record in (*records.proposed, *records.relaxed):
        found |= {c.id: c for c in load_candidates(record.file(CANDIDATES))}
    judged: dict[str, Candidate] = {}
    for record in records.judged:
        for c in load_candidates(record.file(CANDIDATES)):
            before = found.get(c.id) or found[c.id.removesuffix(START_SUFFIX)]
            if c.id in found or before.library_id is not None:  # else the library's own is among them by itself
                judged[c.id] = on_its_own(c, before).replace(display_formula=before.display_formula)
    return list((found | judged).values())


def first_rule(context: SearchContext) -> RankingRule:
    """How this search ranks before anything was judged; the judge isn't loaded for it."""
    return RankingRule(names=context.loaded.first_names, order=context.settings.order)


def ranking_rule(context: SearchContext) -> RankingRule:
    """How this search ranks."""
    return RankingRule(names=context.loaded.names, order=context.settings.order)


def read_notes(records: Sequence[FormulaRecords]) -> dict[str, list[str]]:
    """What could not be made and what was not tried, of all formulas."""
    out: dict[str, list[str]] = {"refused": [], "not_tried": []}
    for record in (p for r in records for p in r.proposed):
        for kind, lines in json.loads(record.file(NOTES).read_text()).items():
            out[kind] += lines
    return out


def seconds_of(records: Sequence[StageRecord]) -> float:
    """Seconds that some stages took, whenever they were done."""
    return sum(float(r.facts.get("seconds", 0.0)) for r in records)
