"""`dao screen`: many formulas through the ledger in this process; a killed screening continues where it was."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.errors import fail, interruptible
from flows.cli.options import (
    Dispersion,
    Framework,
    Free,
    GeneratedAtoms,
    GeneratorName,
    JudgeName,
    Keep,
    Lattice,
    LibraryName,
    MaxAtoms,
    Order,
    PotentialName,
    Seed,
    Spacegroup,
    Unbalanced,
    given_settings,
    parse_order,
    parse_pressures,
    split_proposals,
)

if TYPE_CHECKING:
    from dao_core.screening.formulas import Formula
    from dao_core.screening.select_formulas import SystemRequest

UNIT_ATOMS, BEST, N_JUDGED = 10, 3, 6  # what the options are where nothing is typed

System = Annotated[
    str | None,
    typer.Option(help="All formulas of a chemical system such as Li-Fe-O that are charge-balanced or known."),
]
FormulaFile = Annotated[
    Path | None, typer.Option(help="File of formulas: one a line, or a CSV with a column 'formula'.")
]
Minutes = Annotated[
    float | None,
    typer.Option(min=0.01, help="Time budget in minutes, after which nothing new begins."),
]
MostRelaxed = Annotated[
    int | None,
    typer.Option("--relax", min=1, help="Relax only this many of each formula, the most probable; default: all."),
]
Judged = Annotated[int, typer.Option("--n-judged", min=1, help="Structures of each formula that the judge relaxes.")]
CrysdbTable = Annotated[
    Path | None, typer.Option(help="CrysDB table for templates, the hull and the check for known structures.")
]
HullChoice = Annotated[
    str,
    typer.Option(help="Energies of the hull: the database's, relaxed (with the energy model in use), none, or auto."),
]
Phonons = Annotated[
    bool,
    typer.Option("--phonons", help="Phonons of the best; imaginary modes are followed to a more stable structure."),
]
PhononPotential = Annotated[
    str,
    typer.Option(help="Energy model for --phonons; default: the judge. Your own DAO-P must pass a test first (docs)."),
]
Pressures = Annotated[
    str | None, typer.Option(help="Pressures in GPa, such as 0,10,20, at which the best are compared by enthalpy.")
]


def chosen_formulas(texts: Sequence[str], file: Path | None, system: SystemRequest | None) -> list[Formula]:
    """Formulas from arguments, a file and a chemical system, each once; what is left out is told by reason."""
    from dao_core.screening.select_formulas import select_formulas

    selection = select_formulas(texts, file=file, system=system)
    for reason in selection.left_out:
        print(f"left out: {reason}")
    for note in selection.notes:
        print(f"note: {note}")
    if not selection.formulas:
        nothing = ": give formulas, --system or --file" if file is None else f": {file} holds no formula"
        nothing = ": all of it was left out" if selection.left_out else nothing
        fail(f"nothing to search{nothing}")
    if system is not None:
        names = ", ".join(f.shown for f in selection.formulas)
        print(f"{system.chemsys}: {len(selection.formulas)} formulas: {names}")
    return selection.formulas


def system_request(
    chemsys: str | None, unit_atoms: int, unbalanced: bool, library: str, max_atoms: int
) -> SystemRequest | None:
    """The chemical system that is asked for, with what the library knows of it."""
    if chemsys is None:
        return None
    from dao_core.screening.formulas import parse_chemical_system
    from dao_core.screening.load_models import load_library
    from dao_core.screening.select_formulas import SystemRequest

    parse_chemical_system(chemsys)  # refused before the library is opened
    known = load_library(library).structures
    return SystemRequest(chemsys, unit_atoms, unbalanced, () if known is None else known.formulas(), max_atoms)


def refuse_idle_options(
    *, system: str | None, unbalanced: bool, unit_atoms: int, analysed: bool, best: int, judge: str, n_judged: int
) -> None:
    """End with a line where an option is given that does nothing without another."""
    if system is None and (unbalanced or unit_atoms != UNIT_ATOMS):
        fail("--unbalanced and --unit-atoms choose formulas of a chemical system: give --system")
    if not analysed and best != BEST:
        fail("--best chooses the structures for --phonons and --pressure: give one of them")
    if judge == "none" and n_judged != N_JUDGED:
        fail("--n-judged counts what the judge looks at, and --judge none has none: leave one of them out")


def screen(
    formulas: Annotated[list[str] | None, typer.Argument(help="Formulas, such as NaCl MgO SrTiO3.")] = None,
    system: System = None,
    file: FormulaFile = None,
    out: Annotated[Path, typer.Option(help="Folder of the run: the report, and what is needed to continue.")] = Path(
        "runs/screen"
    ),
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="Structures to propose for each formula.")] = 20,
    max_atoms: MaxAtoms = 64,
    generated_atoms: GeneratedAtoms = None,
    unit_atoms: Annotated[int, typer.Option(min=1, help="With --system: most atoms in a formula unit.")] = UNIT_ATOMS,
    seed: Seed = 0,
    budget: Minutes = None,
    relax_only: MostRelaxed = None,
    n_judged: Judged = N_JUDGED,
    order: Order = "probability",
    crysdb: CrysdbTable = None,
    hull: HullChoice = "auto",
    phonons: Phonons = False,
    phonon_potential: PhononPotential = "",
    pressure: Pressures = None,
    best: Annotated[int, typer.Option(min=1, help="Structures of each formula for --phonons and --pressure.")] = BEST,
    framework: Framework = None,
    keep: Keep = None,
    lattice: Lattice = None,
    spacegroup: Spacegroup = None,
    free: Free = False,
    unbalanced: Unbalanced = False,
    library: LibraryName = "auto",
    potential: PotentialName = "dao",
    judge: JudgeName = "sevennet",
    dispersion: Dispersion = None,
    generator: GeneratorName = "dao",
    top: Annotated[int, typer.Option(min=1, help="Rows to print.")] = 20,
) -> None:
    """Predict and rank the structures of many formulas; after an interruption the same command continues.

    --json prints the tables as JSON, with more of each structure and every digit.

    Examples:  dao screen NaCl MgO --n 10 --phonons    dao screen --system Sr-Ti-O --crysdb TABLE
    """
    started = time.time()
    if hull not in ("auto", "database", "relaxed", "none"):
        fail(f"--hull {hull}: use auto, database, relaxed or none")
    if hull in ("database", "relaxed") and crysdb is None:
        fail(f"--hull {hull} needs a database: name its table with --crysdb")
    analysed = phonons or bool(phonon_potential) or pressure is not None
    refuse_idle_options(system=system, unbalanced=unbalanced, unit_atoms=unit_atoms, analysed=analysed, best=best,
                        judge=judge, n_judged=n_judged)  # fmt: skip
    settings: dict[str, Any] = {
        **split_proposals(n, generator), "max_atoms": max_atoms, "generated_atoms": generated_atoms, "seed": seed,
        "max_relaxed": relax_only, "budget_seconds": None if budget is None else 60 * budget,
        "judge": {"n_judged": n_judged}, "order": parse_order(order),
        "given": given_settings(framework, keep, lattice, spacegroup, free),
    }  # fmt: skip
    diagnostics = {"phonons": phonons or bool(phonon_potential), "phonon_potential": phonon_potential,
                   "n_phonons": best, "n_pressure": best, "pressures_gpa": parse_pressures(pressure)}  # fmt: skip
    models = {"generator": generator, "potential": potential, "judge": judge, "dispersion": dispersion,
              "templates": "auto" if crysdb is None else str(crysdb), "library": library}  # fmt: skip
    asked = system_request(system, unit_atoms, unbalanced, library, max_atoms)
    chosen = chosen_formulas(formulas or [], file, asked)
    from flows.cli.search_command import SearchCommand, run_search

    command = SearchCommand("screen", settings, models, {"crysdb": crysdb, "hull": hull}, diagnostics, out, keep=True,
                            top=top, previews=len(chosen) == 1)  # fmt: skip
    with interruptible("the same command continues: finished pieces are kept"):
        raise typer.Exit(run_search(chosen, command, started))
