"""The conductor of a screening: which steps follow each other, and what a time budget is spent on first.

`dao predict`, `dao screen`, the flow and Python all come through `Conductor`; who runs the steps is up to them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, log
from pathlib import Path
from typing import Literal

from dao_core.artifacts import StageRecord
from dao_core.library.prior import energy_found_later
from dao_core.screening.analysis.stages import (
    check_given,
    phonon_forces,
    phonon_stage,
    phonon_targets,
    pressure_stage,
    pressure_targets,
)
from dao_core.screening.candidate import START_SUFFIX, Candidate
from dao_core.screening.candidate_table import load_candidates
from dao_core.screening.context import InProcess, Progress, SearchContext, StageRunner
from dao_core.screening.formulas import Formula, parse_formula
from dao_core.screening.load_models import SearchModels
from dao_core.screening.load_references import ReferenceSettings
from dao_core.screening.proposals import cells_of
from dao_core.screening.proposed import KNOWN
from dao_core.screening.rank_stages import ReportRequest, preview, rank_stage, report_stage
from dao_core.screening.ranking import log_posteriors
from dao_core.screening.report.page_data import ReportInfo
from dao_core.screening.settings import SearchSettings
from dao_core.screening.stages import (
    CANDIDATES,
    INFO,
    OVERTIME,
    FormulaRecords,
    Piece,
    first_look,
    generate_stage,
    judge_stage,
    look_stage,
    propose_stage,
    ranking_rule,
    relax_stage,
    shortlist_stage,
)
from dao_core.screening.trained_elements import with_trained_elements
from dao_core.screening.work_done import ended_before_relaxing

FIRST_RELAXED = 6  # proposals of each formula that are relaxed before anything is generated
FIRST_JUDGED = 3  # candidates of each formula that are judged before that
CERTAINLY_JUDGED = 2  # of these, even when the time is spent: see `_certain`
RELAX_SHARE, FIRST_JUDGE_SHARE = 0.7, 0.8  # of the budget, after which these start no new piece
OnRanking = Callable[[str, list[Candidate]], None]


class NothingProposedError(RuntimeError):
    """The time budget ended before anything was proposed."""


@dataclass(frozen=True)
class SearchOutcome:
    """What a search found.

    Attributes:
        candidates: Ranked.
        info: The page's head: models, counts that add up, seconds by kind of work, notes.
        report: The report's stage: page, files and ranked candidates.
        ranked: The ranking's stage, without what diagnostics added.
        skipped: Formulas for which the budget had no time at all.
        unrelaxed: Whether the budget ended before anything was relaxed: known and likely structures as they stand.
    """

    candidates: list[Candidate]
    info: ReportInfo
    report: StageRecord
    ranked: StageRecord
    skipped: tuple[str, ...] = ()
    unrelaxed: bool = False


@dataclass
class Conductor:
    """Takes some formulas through all steps of a search.

    What is most probable comes first in every step, formula by formula, so that a budget that ends early has looked at
    the best of each.

    Attributes:
        context: Models, settings and ledger.
        runner: Runs the steps.
        on_ranking: Hears of each ranking on the way: "proposed", "relaxed" (where a judge follows) or "judged", and the
            candidates so far.
    """

    context: SearchContext
    runner: StageRunner = field(default_factory=InProcess)
    on_ranking: OnRanking | None = None

    def run(self, formulas: Sequence[Formula], title: str) -> SearchOutcome:
        """Propose, relax, judge, rank and report.

        Args:
            formulas: At least one.
            title: Of the report.

        Raises:
            FormulaError: A formula has no cell small enough, or none has elements that an energy knows; nothing was
                done.
            GivenStructureError: What is given cannot be used; nothing was done.
            NothingProposedError: The budget ended at once, and nothing is known of any formula.
        """
        formulas, left_out = self._checked(formulas)
        pinned = replace(
            self.context, references=self.context.references.pinned()
        )  # the table may be updated meanwhile
        return replace(self, context=pinned)._run(formulas, title, left_out)

    def _run(self, formulas: Sequence[Formula], title: str, left_out: str | None) -> SearchOutcome:
        shown = self._looked_up(formulas)
        request = ReportRequest(title, notes=() if left_out is None else (left_out,))
        records = self._proposed(formulas)
        if not records:
            return replace(self, context=_unasked(self.context))._reported(formulas, self._looked(formulas), request)
        if not shown:
            self._show("proposed", records)
        records = self._relaxed("relax", records, FIRST_RELAXED)
        if self.context.loaded.judge is not None:
            self._show("relaxed", records)
        records = self._judged("judge", records, min(FIRST_JUDGED, self._most_judged), FIRST_JUDGE_SHARE)
        self._show("judged", records)
        records = self._not_empty(self._generated(records))
        records = self._relaxed("relax the rest", records, None)
        records = self._judged("judge the rest", records, self._most_judged, 1.0)
        return self._reported(formulas, records, request)

    @property
    def _most_judged(self) -> int:
        return self.context.settings.judge.n_judged

    def _checked(self, formulas: Sequence[Formula]) -> tuple[list[Formula], str | None]:
        """The formulas that can be searched, and what was left out and why."""
        self.context.settings.given.constraint()
        check_given(self.context.settings.given, self.context.diagnostics)
        for formula in formulas:
            cells_of(formula, self.context.settings)
        kept = with_trained_elements(formulas, self.context.loaded)
        if self.context.diagnostics.phonons:
            phonon_forces(self.context.loaded, self.context.diagnostics)  # refused before the search, not after it
        return kept

    def _show(self, kind: str, records: Sequence[FormulaRecords]) -> None:
        done = {"proposed": True, "relaxed": any(r.relaxed for r in records), "judged": any(r.judged for r in records)}
        if self.on_ranking is None or not done[kind]:
            return
        found = preview(records, self.context)
        # where all of it was broken off nothing has changed since the last one
        if kind == "proposed" or any(c.judged if kind == "judged" else c.relaxed or c.start_kept for c in found):
            self.on_ranking(kind, found)

    def _looked_up(self, formulas: Sequence[Formula]) -> bool:
        """Show what is known of a single formula, for which somebody waits, before any model is loaded."""
        if self.on_ranking is None or len(formulas) != 1 or self.context.late():
            return False
        found = first_look(formulas[0].text, self.context)
        if found:
            self.on_ranking("proposed", found)
        return bool(found)

    def _proposed(self, formulas: Sequence[Formula]) -> list[FormulaRecords]:
        made = self.runner.step_each("propose", propose_stage, [f.text for f in formulas], self.context)
        return [FormulaRecords(f.text, (r,)) for f, r in zip(formulas, made, strict=True) if r is not None]

    def _looked(self, formulas: Sequence[Formula]) -> list[FormulaRecords]:
        """What can be said at once, where the budget ended before anything was proposed: of one formula in any case."""
        first, *others = (f.text for f in formulas)
        made = [self.runner.step("look up", look_stage, first, self.context)]
        made += self.runner.step_each("look up the others", look_stage, others, self.context, OVERTIME)
        records = [FormulaRecords(f.text, (r,)) for f, r in zip(formulas, made, strict=True) if r is not None]
        if not any(_n_proposed(r) for r in records):
            budget = self.context.settings.budget_seconds
            raise NothingProposedError(f"{budget:g} s are too few to propose anything: give a larger --budget")
        return records

    def _not_empty(self, records: Sequence[FormulaRecords]) -> list[FormulaRecords]:
        """With what can be said at once of formulas whose places were all for samples that the budget didn't reach."""
        if self.context.settings.budget_seconds is None:
            return list(records)
        empty = [i for i, r in enumerate(records) if len(r.proposed) == 1 and not _n_proposed(r)]
        texts = [records[i].formula for i in empty]
        made = self.runner.step_each("look up", look_stage, texts, self.context, OVERTIME) if texts else []
        out = list(records)
        for i, look in zip(empty, made, strict=True):
            if look is not None and look.counts["n_ok"]:
                out[i] = replace(out[i], proposed=(look,))
        return out

    def _generated(self, records: Sequence[FormulaRecords]) -> list[FormulaRecords]:
        wanted = [r.formula for r in records]
        made = self.runner.step_each("generate", generate_stage, wanted, self.context)
        return [r if m is None else replace(r, proposed=(*r.proposed, m)) for r, m in zip(records, made, strict=True)]

    def _relaxed(self, name: str, records: Sequence[FormulaRecords], limit: int | None) -> list[FormulaRecords]:
        """Relax with the first potential what wasn't yet, the most probable `limit` of each formula."""
        queues = [self._relaxation_pieces(r, limit) for r in records]
        pieces = _certain(_round_robin(queues), records, 1 if limit else 0)
        share = 1.0 if self.context.loaded.judge is None else RELAX_SHARE  # the rest of the time is the judge's
        made = self.runner.step_each(name, relax_stage, [p for _, p in pieces], self.context, share)
        return _with(records, pieces, made, "relaxed")

    def _relaxation_pieces(self, records: FormulaRecords, limit: int | None) -> list[Piece]:
        done = {c.id for r in records.relaxed for c in load_candidates(r.file(CANDIDATES))}
        judge = self.context.loaded.judge is not None
        most = self.context.settings.max_relaxed
        size = self.context.settings.relax.batch_size
        n_done = sum(not name.endswith(START_SUFFIX) for name in done)  # a start stands beside its own end
        n_left = min(n for n in (limit, most, 10**9) if n is not None) - n_done
        pieces: list[Piece] = []
        for record in records.proposed:
            rows = [
                i
                for i, c in enumerate(load_candidates(record.file(CANDIDATES)))
                # the library's structures are at rest already: they go to the judge as they are
                if c.id not in done and not c.rejected and not (judge and c.origin == KNOWN)
            ][: max(n_left, 0)]
            n_left -= len(rows)
            pieces += [Piece(record, tuple(rows[i : i + size])) for i in range(0, len(rows), size)]
        return pieces

    def _judged(self, name: str, records: Sequence[FormulaRecords], limit: int, share: float) -> list[FormulaRecords]:
        """Let the judge relax the most probable `limit` candidates of each formula, as far as it hasn't yet."""
        if self.context.loaded.judge is None:
            return list(records)
        lists = self.runner.step_each(f"shortlist to {name}", shortlist_stage, records, self.context)
        queues = [self._judge_pieces(record, limit) for record in lists]
        pieces = _certain(_round_robin(queues), records, CERTAINLY_JUDGED)
        made = self.runner.step_each(name, judge_stage, [p for _, p in pieces], self.context, share)
        return _with(records, pieces, made, "judged")

    def _judge_pieces(self, shortlist: StageRecord, limit: int) -> list[Piece]:
        candidates = load_candidates(shortlist.file(CANDIDATES))
        logs = log_posteriors(candidates, ranking_rule(self.context))
        n_left = limit - sum(c.judged for c in candidates)
        least = self.context.settings.judge.min_probability
        wanted = sorted(
            (i for i, c in enumerate(candidates) if not (c.judged or c.rejected or "judge" in c.provenance)),
            key=lambda i: (-_worth(candidates[i], logs), candidates[i].id),
        )
        place = max(range(len(wanted)), key=lambda k: logs[candidates[wanted[k]].id], default=0)
        if place >= CERTAINLY_JUDGED:  # a large cell: it would be the answer, without any energy
            wanted.insert(CERTAINLY_JUDGED - 1, wanted.pop(place))
        likely = [i for k, i in enumerate(wanted) if k == 0 or exp(logs[candidates[i].id]) >= least]
        return [Piece(shortlist, (i,)) for i in likely[: max(n_left, 0)]]

    def _diagnosed(self, ranked: StageRecord) -> list[StageRecord]:
        asked, path = self.context.diagnostics, ranked.file(CANDIDATES)
        if not asked.active:
            return []
        candidates = load_candidates(path)
        run = self.runner.step_each
        done = run("phonons", phonon_stage, phonon_targets(candidates, asked), str(path), self.context)
        return done + run("pressure", pressure_stage, pressure_targets(candidates, asked), str(path), self.context)

    def _reported(
        self, formulas: Sequence[Formula], records: list[FormulaRecords], request: ReportRequest
    ) -> SearchOutcome:
        skipped = tuple(f.shown for f in formulas if f.text not in {r.formula for r in records})
        ranked = self.runner.step("rank", rank_stage, records, self.context)
        request = replace(request, diagnosed=tuple(self._diagnosed(ranked)), skipped=skipped)
        report = self.runner.step("report", report_stage, ranked, records, request, self.context)
        info = ReportInfo(**json.loads(report.file(INFO).read_text()))
        candidates = load_candidates(report.file(CANDIDATES))
        unrelaxed = ended_before_relaxing(records, candidates, self.context)
        return SearchOutcome(candidates, info, report, ranked, skipped, unrelaxed)


def _unasked(context: SearchContext) -> SearchContext:
    """The search without the models that nobody asked: an answer without energies doesn't wait for them."""
    nobody = {"generator": "none", "judge": "none", "dispersion": None}
    known = context.models
    models = (
        known.replaced(generator=None, judge=None)
        if isinstance(known, SearchModels)
        else known.model_copy(update=nobody)
    )
    return replace(context, models=models, references=context.references.model_copy(update={"hull": "none"}))


def _n_proposed(records: FormulaRecords) -> int:
    return sum(r.counts["n_ok"] for r in records.proposed)


def _worth(c: Candidate, logs: Mapping[str, float]) -> float:
    """Log of what judging a candidate is worth: its probability over the root of its number of atoms.

    The judge's seconds grow with the atoms (exponent 1.16 over 731 structures), but its places are counted too: the
    root lies between. Among the hundred stackings that some compounds are known in, all about as likely, the simplest
    come first. Over 136 textbook searches the ground state is among the first 3 / 6 in 124 / 130 (by probability alone
    121 / 129, divided by the atoms 125 / 127).

    A known structure of which the library has no energy is less likely for that alone. The judge finds one, so here it
    counts as though it were the lowest: a measured structure such as zincblende of ZnS is looked at before the many
    stackings that OQMD lists. Of 88 textbook searches the ground state is then among the first 6 in all (87 before).
    """
    missing = energy_found_later(0.0) if c.known_without_energy else 0.0
    return logs[c.id] + missing - 0.5 * log(c.crystal.n_atoms)


def _round_robin(queues: Sequence[Sequence[Piece]]) -> list[tuple[int, Piece]]:
    """(formula, piece), the first piece of every formula before any second one."""
    longest = max((len(q) for q in queues), default=0)
    return [(i, q[k]) for k in range(longest) for i, q in enumerate(queues) if k < len(q)]


def _certain(pieces: list[tuple[int, Piece]], records: Sequence[FormulaRecords], n: int) -> list[tuple[int, Piece]]:
    """The same pieces; in a search of one formula the first `n` are worked on even when the time is spent.

    Somebody waits for its answer, and an answer needs energies, however slow the machine is.
    """
    if len(records) != 1 or records[0].judged:
        return pieces
    return [(i, replace(piece, certain=k < n)) for k, (i, piece) in enumerate(pieces)]


def _with(
    records: Sequence[FormulaRecords],
    pieces: Sequence[tuple[int, Piece]],
    made: Iterable[StageRecord | None],
    what: Literal["relaxed", "judged"],
) -> list[FormulaRecords]:
    """The records with the new stages of each formula added."""
    out = list(records)
    for (i, _), record in zip(pieces, made, strict=True):
        if record is not None:
            out[i] = out[i].with_stage(what, record)
    return out


def search(
    formulas: Sequence[str | Formula],
    models: SearchModels,
    settings: SearchSettings | None = None,
    *,
    references: ReferenceSettings | None = None,
    on_progress: Progress | None = None,
) -> SearchOutcome:
    """The whole way for some formulas in this process; what was computed is not kept.

    Args:
        formulas: Such as ["SrTiO3"].
        models: What proposes, relaxes and judges (`load_search_models()`).
        settings: How much is tried.
        references: A CrysDB table to compare with.
        on_progress: Hears (step, done, of).

    Returns:
        Ranked candidates, notes and counts.

    Raises:
        FormulaError: Before any work, on a wrong formula.
    """
    parsed = [parse_formula(f) if isinstance(f, str) else f for f in formulas]
    with tempfile.TemporaryDirectory(prefix="dao-") as folder:
        context = SearchContext(
            Path(folder), models, settings or SearchSettings(), references or ReferenceSettings(), kept=False
        )
        return Conductor(context, InProcess(on_progress)).run(parsed, title_of(parsed))


def title_of(formulas: Sequence[Formula]) -> str:
    """A title for the report of some formulas."""
    names = [f.shown for f in formulas]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
