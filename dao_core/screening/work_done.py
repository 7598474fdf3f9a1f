"""What a search has done and what its budget cut short, in numbers and sentences for whoever reads the answer."""

from __future__ import annotations

from collections.abc import Sequence

from dao_core.screening.candidate import NOT_RELAXED, START_SUFFIX, Candidate
from dao_core.screening.context import SearchContext
from dao_core.screening.relaxing import UNFINISHED, relaxation_steps
from dao_core.screening.stages import FormulaRecords


def work_done(candidates: Sequence[Candidate]) -> dict[str, int]:
    """How much was done, by kind, without what was not.

    Proposals are those that are relaxed, left as proposed or not relaxed, and the ones that failed. A start that is
    kept beside what its relaxation made of it is a candidate more than was proposed, whatever became of it.

    Args:
        candidates: All of a search, before merging.
    """
    beside = [c for c in candidates if c.id.endswith(START_SUFFIX)]
    proposed = [c for c in candidates if not c.id.endswith(START_SUFFIX)]
    work = {
        "proposals": len(proposed),
        "starts kept beside their ends": len(beside),
        "relaxed": sum(c.relaxed for c in proposed),
        "left as proposed after a failed relaxation": sum(c.start_kept for c in proposed),
        "not relaxed": sum(c.relaxation_status == NOT_RELAXED for c in proposed),
        "judged": sum(c.judged for c in candidates),
        "relaxation steps": relaxation_steps(candidates),
    }
    return {kind: n for kind, n in work.items() if n}


def ended_before_relaxing(
    records: Sequence[FormulaRecords], candidates: Sequence[Candidate], context: SearchContext
) -> bool:
    """Whether a budget ended before anything was relaxed, so that what is known and likely is the whole answer.

    Args:
        records: What has been done for each formula.
        candidates: That came out of it.
        context: Of the search.
    """
    stand = [c for c in candidates if not c.rejected]
    return (
        context.settings.budget_seconds is not None
        and bool(stand)
        and all(c.relaxation_status == NOT_RELAXED for c in stand)
        and not any(r.relaxed_at_all for r in records)
    )


def unrelaxed_answer(budget: float) -> str:
    """What an answer is in which nothing is relaxed.

    Args:
        budget: Seconds.
    """
    return (
        f"the budget of {budget:g} s ended before anything was relaxed: these are the proposals as they stand, "
        "the likeliest first (a larger --budget relaxes them; `dao screen` goes on where it stopped)"
    )


def unfinished_notes(records: Sequence[FormulaRecords]) -> list[str]:
    """How many relaxations were broken off, and what became of their structures.

    Args:
        records: What has been done for each formula.
    """
    n = sum(int(stage.facts.get(UNFINISHED, 0)) for r in records for stage in (*r.relaxed, *r.judged))
    if n == 0:
        return []
    what = "1 relaxation was broken off: it" if n == 1 else f"{n} relaxations were broken off: each"
    return [f"{what} would have taken too long for the budget; the structure stands as it was before it"]
