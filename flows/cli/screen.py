"""`dao screen`: many formulas through the ledger in this process; a killed screening continues where it was."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.candidate_table import candidate_table
from flows.cli.console import progress_bar, quiet_libraries
from flows.cli.errors import fail, interruptible
from flows.cli.options import (
    Framework,
    Free,
    GeneratorName,
    Keep,
    Lattice,
    PotentialName,
    Seed,
    Spacegroup,
    Unbalanced,
    given_settings,
    parse_pressures,
    split_proposals,
)

if TYPE_CHECKING:
    from dao_core.artifacts import Ledger, StageRecord
    from dao_core.screening.analysis.stages import DiagnosticsSettings
    from dao_core.screening.formulas import Formula
    from dao_core.screening.search import Progress, SearchModels, SearchSettings


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
    from dao_core.screening.analysis.stages import DiagnosticsSettings, phonon_forces
    from dao_core.screening.candidate_table import load_candidates
    from dao_core.screening.load_models import load_search_models
    from dao_core.screening.search import SearchSettings, cells_of
    from dao_core.screening.stages import CANDIDATES

    wanted, asked = SearchSettings(**settings), DiagnosticsSettings(**(diagnostics or {}))
    wanted.given.constraint()  # a wrong file is told before anything slow
    for formula in formulas:
        cells_of(formula, wanted)
    deadline = None if wanted.budget_seconds is None else start + wanted.budget_seconds
    ledger, models = Ledger(out / "ledger"), load_search_models(**names)
    if asked.phonons:
        phonon_forces(asked, models.potential)  # refused before the search, not after it
    with progress_bar("screen") as show:
        proposed, relaxed = _search(ledger, formulas, models, wanted, deadline, show)
        answer = _answer(ledger, formulas, models, proposed, relaxed, crysdb, hull, asked, wanted.seed, show)
    from dao_core.artifacts import publish_folder

    page = publish_folder(answer.file("report"), out / "report") / "index.html"
    candidates = load_candidates(answer.file(CANDIDATES))
    candidate_table(candidates, limit=top)
    print(", ".join(f"{v} {k}" for k, v in answer.counts.items()) + f"; {time.monotonic() - start:.0f} s; {page}")
    return 0 if any(c.usable for c in candidates) else 1


def _search(
    ledger: Ledger,
    formulas: Sequence[Formula],
    models: SearchModels,
    wanted: SearchSettings,
    deadline: float | None,
    show: Progress,
) -> tuple[list[StageRecord], list[StageRecord]]:
    from dao_core.screening.stages import n_chunks, propose_stage, relax_stage

    proposed = []
    for i, formula in enumerate(formulas):
        proposed.append(propose_stage(ledger, formula, models, wanted))
        show("propose", i + 1, len(formulas))
    # round after round over the formulas: a budget that ends early has looked at the best of each
    rounds = range(max(n_chunks(p, wanted) for p in proposed))
    pieces = [(p, k) for k in rounds for p in proposed if k < n_chunks(p, wanted)]
    relaxed = []
    for i, (record, chunk) in enumerate(pieces):
        if deadline is not None and time.monotonic() > deadline:
            print(f"budget spent, {len(pieces) - i} of {len(pieces)} pieces not relaxed; the same command goes on")
            break
        relaxed.append(relax_stage(ledger, record, chunk, models.potential, wanted))
        show("relax", i + 1, len(pieces))
    return proposed, relaxed


def _answer(
    ledger: Ledger,
    formulas: Sequence[Formula],
    models: SearchModels,
    proposed: Sequence[StageRecord],
    relaxed: Sequence[StageRecord],
    crysdb: Path | None,
    hull: Any,
    asked: DiagnosticsSettings,
    seed: int,
    show: Progress,
) -> StageRecord:
    from dao_core.screening.load_references import load_references
    from dao_core.screening.stages import rank_stage, report_stage

    show("hull", 0, 1)
    references = load_references(crysdb, formulas, models.potential, hull=hull, ledger=ledger)
    for note in references.notes:
        print(note)
    ranked = rank_stage(ledger, proposed, relaxed, models.potential, references=references)
    diagnosed = _diagnose(ledger, ranked, models, asked, show)
    facts = {"model": None if models.generator is None else models.generator.identity, "seed": seed,
             "database_version": references.version}  # fmt: skip
    return report_stage(ledger, ranked, models.potential, title=_title(formulas), diagnosed=diagnosed,
                        references=references, facts=facts)  # fmt: skip


def _diagnose(
    ledger: Ledger, ranked: StageRecord, models: SearchModels, asked: DiagnosticsSettings, show: Progress
) -> list[StageRecord]:
    from dao_core.screening.analysis import stages as diagnostics
    from dao_core.screening.candidate_table import load_candidates
    from dao_core.screening.stages import CANDIDATES

    path = ranked.file(CANDIDATES)
    candidates = load_candidates(path)
    done = []
    targets = diagnostics.phonon_targets(candidates, asked)
    for i, name in enumerate(targets):
        done.append(diagnostics.phonon_stage(ledger, path, name, models.potential, asked))
        show("phonons", i + 1, len(targets))
    pressed = diagnostics.pressure_targets(candidates, asked)
    for i, formula in enumerate(pressed):
        done.append(diagnostics.pressure_stage(ledger, path, formula, models.potential, asked))
        show("pressure", i + 1, len(pressed))
    for note in diagnostics.diagnosis_notes(done):
        print(note)
    return done


def _title(formulas: Sequence[Formula]) -> str:
    names = [f.reduced for f in formulas]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def screen(
    formulas: Annotated[list[str] | None, typer.Argument(help="Formulas, such as NaCl MgO SrTiO3.")] = None,
    system: Annotated[
        str | None, typer.Option(help="All charge-balanced formulas of a system such as Li-Fe-O.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Formulas, one a line, or a CSV with a column 'formula'.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run: report/, and what is needed to go on.")] = Path(
        "runs/screen"
    ),
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="Structures proposed for each formula.")] = 20,
    max_atoms: Annotated[int, typer.Option(min=1, max=64, help="Largest cell.")] = 20,
    seed: Seed = 0,
    budget: Annotated[
        float | None, typer.Option(min=0.01, help="Minutes after which no new relaxation starts.")
    ] = None,
    relax_only: Annotated[
        int | None, typer.Option("--relax", min=1, help="Relax only so many of each formula, those of lowest energy.")
    ] = None,
    crysdb: Annotated[Path | None, typer.Option(help="CrysDB table for templates, hull and novelty.")] = None,
    hull: Annotated[
        str, typer.Option(help="Energies of the hull: auto, database (refused for another potential), relaxed, none.")
    ] = "auto",
    phonons: Annotated[
        bool, typer.Option("--phonons", help="Vibrations of the best; imaginary modes are followed and ranked.")
    ] = False,
    phonon_potential: Annotated[
        str, typer.Option(help="Whose forces for --phonons: sevennet or chgnet. DAO-P's are refused.")
    ] = "",
    pressure: Annotated[str | None, typer.Option(help="GPa, such as 0,10,20: enthalpies and their order.")] = None,
    best: Annotated[int, typer.Option(min=1, help="Structures a formula for --phonons and --pressure.")] = 3,
    framework: Framework = None,
    keep: Keep = None,
    lattice: Lattice = None,
    spacegroup: Spacegroup = None,
    free: Free = False,
    unbalanced: Unbalanced = False,
    potential: PotentialName = "dao",
    generator: GeneratorName = "dao",
    top: Annotated[int, typer.Option(min=1, help="Rows shown.")] = 20,
) -> None:
    """Screen many formulas. Finished pieces are kept: after a kill the same command continues.

    Examples:  dao screen NaCl MgO --n 10 --phonon-potential sevennet    dao screen --system Sr-Ti-O --crysdb TABLE
    """
    if hull not in ("auto", "database", "relaxed", "none"):
        fail(f"--hull {hull}: use auto, database, relaxed or none")
    asked = {"phonons": phonons or bool(phonon_potential), "phonon_potential": phonon_potential, "n_phonons": best,
             "n_pressure": best, "pressures_gpa": parse_pressures(pressure)}  # fmt: skip
    found = wanted_formulas(formulas or [], system, file, unbalanced=unbalanced, max_atoms=min(10, max_atoms))
    settings = {**split_proposals(n, generator), "max_atoms": max_atoms, "seed": seed, "max_relaxed": relax_only,
                "budget_seconds": None if budget is None else 60 * budget,
                "given": given_settings(framework, keep, lattice, spacegroup, free)}  # fmt: skip
    names = {"generator": generator, "potential": potential, "templates": "auto" if crysdb is None else str(crysdb)}
    with interruptible("the same command continues: finished pieces are kept"):
        status = screen_formulas(found, settings, names, out, crysdb=crysdb, hull=hull, diagnostics=asked, top=top)
        raise typer.Exit(status)
