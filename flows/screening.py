"""`dao screen`: many formulas through the ledger in this process; a killed screening continues where it was."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.console import candidate_table, fail, progress_bar, quiet_libraries

if TYPE_CHECKING:
    from dao_core.artifacts import Ledger, StageRecord
    from dao_core.screening.diagnostics import DiagnosticsSettings
    from dao_core.screening.formulas import Formula
    from dao_core.screening.search import Progress, SearchSettings, Toolbox


def wanted_formulas(
    texts: Sequence[str], system: str | None, file: Path | None, *, unbalanced: bool, max_atoms: int
) -> list[Formula]:
    """Formulas from arguments, a chemical system and a file, each once; the ones left out are told by reason."""
    from dao_core.screening.formulas import select_formulas

    found = select_formulas(texts, system=system, file=file, unbalanced=unbalanced, max_atoms=max_atoms)
    for reason in found.left_out:
        hint = " (search it all the same: --unbalanced)" if reason.startswith("no oxidation") else ""
        print(f"left out: {reason}{hint}")
    if not found.formulas:
        fail(
            "nothing to search"
            + (": all of it was left out" if found.left_out else ": give formulas, --system or --file")
        )
    if system is not None:
        print(f"{system}: {len(found.formulas)} formulas: {', '.join(f.reduced for f in found.formulas)}")
    return found.formulas


def screen_formulas(
    formulas: Sequence[Formula],
    settings: Mapping[str, Any],
    names: Mapping[str, str],
    out: Path,
    *,
    crysdb: Path | None = None,
    hull: str = "auto",
    diagnostics: Mapping[str, Any] | None = None,
    top: int = 20,
) -> int:
    """Propose, relax, rank and report; prints the table and where the page is. 0, or 1 where nothing was usable."""
    start = time.monotonic()
    quiet_libraries()
    from dao_core.artifacts import Ledger
    from dao_core.screening.diagnostics import DiagnosticsSettings
    from dao_core.screening.search import SearchSettings, cells_of
    from dao_core.screening.stages import CANDIDATES
    from dao_core.screening.stored import load_candidates
    from dao_core.screening.toolbox import load_toolbox

    wanted, asked = SearchSettings(**settings), DiagnosticsSettings(**(diagnostics or {}))
    wanted.bound.constraint()  # a wrong file is told before anything slow
    for formula in formulas:
        cells_of(formula, wanted)
    deadline = None if wanted.budget_seconds is None else start + wanted.budget_seconds
    ledger, tools = Ledger(out / "ledger"), load_toolbox(**names)
    with progress_bar("screen") as show:
        proposed, relaxed = _search(ledger, formulas, tools, wanted, deadline, show)
        answer = _answer(ledger, formulas, tools, proposed, relaxed, crysdb, hull, asked, wanted.seed, show)
    from tasks.files import publish_folder

    page = publish_folder(answer.file("report"), out / "report") / "index.html"
    candidates = load_candidates(answer.file(CANDIDATES))
    candidate_table(candidates, limit=top)
    print(", ".join(f"{v} {k}" for k, v in answer.counts.items()) + f"; {time.monotonic() - start:.0f} s; {page}")
    return 0 if any(c.usable for c in candidates) else 1


def _search(
    ledger: Ledger,
    formulas: Sequence[Formula],
    tools: Toolbox,
    wanted: SearchSettings,
    deadline: float | None,
    show: Progress,
) -> tuple[list[StageRecord], list[StageRecord]]:
    from dao_core.screening.stages import n_chunks, propose_stage, relax_stage

    proposed = []
    for i, formula in enumerate(formulas):
        proposed.append(propose_stage(ledger, formula, tools, wanted))
        show("propose", i + 1, len(formulas))
    # round after round over the formulas: a budget that ends early has looked at the best of each
    rounds = range(max(n_chunks(p, wanted) for p in proposed))
    pieces = [(p, k) for k in rounds for p in proposed if k < n_chunks(p, wanted)]
    relaxed = []
    for i, (record, chunk) in enumerate(pieces):
        if deadline is not None and time.monotonic() > deadline:
            print(f"budget spent, {len(pieces) - i} of {len(pieces)} pieces not relaxed; the same command goes on")
            break
        relaxed.append(relax_stage(ledger, record, chunk, tools.potential, wanted))
        show("relax", i + 1, len(pieces))
    return proposed, relaxed


def _answer(
    ledger: Ledger,
    formulas: Sequence[Formula],
    tools: Toolbox,
    proposed: Sequence[StageRecord],
    relaxed: Sequence[StageRecord],
    crysdb: Path | None,
    hull: Any,
    asked: DiagnosticsSettings,
    seed: int,
    show: Progress,
) -> StageRecord:
    from dao_core.screening.references import load_references
    from dao_core.screening.stages import rank_stage, report_stage

    show("hull", 0, 1)
    references = load_references(crysdb, formulas, tools.potential, hull=hull, ledger=ledger)
    for note in references.notes:
        print(note)
    ranked = rank_stage(ledger, proposed, relaxed, tools.potential, references=references)
    diagnosed = _diagnose(ledger, ranked, tools, asked, show)
    facts = {"model": None if tools.generator is None else tools.generator.identity, "seed": seed,
             "database_version": references.version}  # fmt: skip
    return report_stage(ledger, ranked, tools.potential, title=_title(formulas), diagnosed=diagnosed,
                        references=references, facts=facts)  # fmt: skip


def _diagnose(
    ledger: Ledger, ranked: StageRecord, tools: Toolbox, asked: DiagnosticsSettings, show: Progress
) -> list[StageRecord]:
    from dao_core.screening import diagnostics
    from dao_core.screening.stages import CANDIDATES
    from dao_core.screening.stored import load_candidates

    path = ranked.file(CANDIDATES)
    candidates = load_candidates(path)
    done = []
    targets = diagnostics.phonon_targets(candidates, asked)
    for i, name in enumerate(targets):
        done.append(diagnostics.phonon_stage(ledger, path, name, tools.potential, asked))
        show("phonons", i + 1, len(targets))
    pressed = diagnostics.pressure_targets(candidates, asked)
    for i, formula in enumerate(pressed):
        done.append(diagnostics.pressure_stage(ledger, path, formula, tools.potential, asked))
        show("pressure", i + 1, len(pressed))
    for note in diagnostics.diagnosis_notes(done):
        print(note)
    return done


def _title(formulas: Sequence[Formula]) -> str:
    names = [f.reduced for f in formulas]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
