"""`dao screen`: many formulas through the ledger in this process; a killed screening continues where it was."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.console import candidate_table, fail, progress_bar, quiet_libraries

if TYPE_CHECKING:
    from dao_core.screening.formulas import Formula


def wanted_formulas(texts: Sequence[str], system: str | None, file: Path | None, *, unbalanced: bool) -> list[Formula]:
    """Formulas from arguments, a chemical system and a file, each once; the ones left out are told by reason.

    Raises FormulaError on a wrong argument; wrong rows of a file are refused and the others kept.
    """
    from dao_core.screening.formulas import charge_balanced, formulas_in_system, parse_formula, read_formulas

    found = [parse_formula(text) for text in texts]
    if file is not None:
        listed = read_formulas(file)
        found += listed.formulas
        for row in listed.refused:
            print(f"left out, line {row.line}: {row.reason}")
    if not unbalanced:
        for formula in [f for f in found if not charge_balanced(f)]:
            print(f"left out: no oxidation states balance {formula.reduced} (search it all the same: --unbalanced)")
            found.remove(formula)
    if system is not None:
        found += formulas_in_system(system)
    return list({f.reduced: f for f in found}.values())


def screen_formulas(
    formulas: Sequence[Formula],
    settings: dict[str, Any],
    names: dict[str, str],
    out: Path,
    crysdb: Path | None,
    top: int,
) -> int:
    """Propose, relax and rank; prints the table and says where the report is. 0, or 1 where nothing was usable."""
    if not formulas:
        fail("nothing to search: give formulas, --system or --file")
    start = time.monotonic()
    quiet_libraries()
    from dao_core.artifacts import Ledger
    from dao_core.screening.references import load_references
    from dao_core.screening.search import SearchSettings, cells_of
    from dao_core.screening.stages import CANDIDATES, n_chunks, propose_stage, rank_stage, relax_stage
    from dao_core.screening.stored import load_candidates
    from dao_core.screening.toolbox import load_toolbox

    wanted = SearchSettings(**settings)
    for formula in formulas:
        cells_of(formula, wanted)
    deadline = None if wanted.budget_seconds is None else start + wanted.budget_seconds
    ledger, tools = Ledger(out / "ledger"), load_toolbox(**names)
    with progress_bar("screen") as show:
        proposed = []
        for i, formula in enumerate(formulas):
            proposed.append(propose_stage(ledger, formula, tools, wanted))
            show("propose", i + 1, len(formulas))
        # round after round over the formulas: a budget that ends early has looked at the best of each
        pieces = [(p, k) for k in range(max(n_chunks(p, wanted) for p in proposed)) for p in proposed
                  if k < n_chunks(p, wanted)]  # fmt: skip
        relaxed = []
        for i, (record, chunk) in enumerate(pieces):
            if deadline is not None and time.monotonic() > deadline:
                print(f"budget spent, {len(pieces) - i} of {len(pieces)} pieces not relaxed; the same command goes on")
                break
            relaxed.append(relax_stage(ledger, record, chunk, tools.potential, wanted))
            show("relax", i + 1, len(pieces))
        references = load_references(crysdb, formulas, tools.potential)
        ranked = rank_stage(ledger, proposed, relaxed, tools.potential, title=_title(formulas), hull=references.hull,
                            known=references.known, references=references.key)  # fmt: skip
    from tasks.files import publish_folder

    page = publish_folder(ranked.file("report"), out / "report") / "index.html"
    candidates = load_candidates(ranked.file(CANDIDATES))
    candidate_table(candidates, limit=top)
    print(", ".join(f"{v} {k}" for k, v in ranked.counts.items()) + f"; {time.monotonic() - start:.0f} s; {page}")
    return 0 if any(c.usable for c in candidates) else 1


def _title(formulas: Sequence[Formula]) -> str:
    names = [f.reduced for f in formulas]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
