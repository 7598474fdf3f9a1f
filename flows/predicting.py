"""`dao predict` and `dao screen` in this process, without an orchestrator: its start-up would be half of the wait."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.console import candidate_table, fail, progress_bar, quiet_libraries


def predict_formulas(
    formulas: Sequence[str],
    settings: Mapping[str, Any],
    names: Mapping[str, str],
    out: Path | None,
    top: int,
    *,
    unbalanced: bool = False,
) -> int:
    """Search, print the table and write the files; the exit status: 0, or 1 where no candidate was usable.

    `names` of the generator, the potential and the templates as `load_toolbox` takes them.
    """
    start = time.monotonic()
    quiet_libraries()
    from dao_core.screening.formulas import charge_balanced, parse_formula

    parsed = [parse_formula(f) for f in formulas]  # refused before anything slow is imported
    for formula in parsed:
        if not (unbalanced or charge_balanced(formula)):
            fail(f"no oxidation states balance {formula.reduced}: search it all the same with --unbalanced")
    from dao_core.screening.search import SearchSettings, cells_of, report_info, search

    wanted = SearchSettings(**settings)
    wanted.bound.constraint()
    for formula in parsed:
        cells_of(formula, wanted)
    if out is not None and out.exists() and not out.is_dir():
        fail(f"--out {out} is a file: name a folder")
    from dao_core.screening.toolbox import load_toolbox

    with progress_bar(", ".join(formulas)) as show:
        tools = load_toolbox(**names)
        outcome = search(parsed, tools, wanted, on_progress=show)
    info = report_info(", ".join(formulas), outcome, tools, wanted)
    page = None
    if out is not None:  # before the table: a reader such as `head` may end the printing
        from dao_core.screening.report import write_report

        page = write_report(outcome.candidates, out, info=info)
    candidate_table(outcome.candidates, limit=top)
    reasons = "".join(f", {n} {reason}" for reason, n in info.reasons.items())
    print(
        f"{info.n_asked} asked = {info.n_ok} ok + {info.n_failed} failed{reasons}; {time.monotonic() - start:.0f} s; "
        f"energies from {info.potential}"
    )
    if page is not None:
        print(f"CIF files and the page: {page}")
    for reason in sorted(set(outcome.refused))[:3]:
        print(f"not made: {reason}")
    return 0 if any(c.usable for c in outcome.candidates) else 1
