"""`dao predict` and `dao screen` in this process, without an orchestrator: its start-up would be half of the wait."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.candidate_table import candidate_table
from flows.cli.console import progress_bar, quiet_libraries
from flows.cli.errors import fail
from flows.cli.options import (
    Framework,
    Free,
    GeneratorName,
    Keep,
    Lattice,
    Out,
    PotentialName,
    Seed,
    Spacegroup,
    Unbalanced,
    given_settings,
    split_proposals,
)


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

    `names` of the generator, the potential and the templates as `load_search_models` takes them.
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
    wanted.given.constraint()
    for formula in parsed:
        cells_of(formula, wanted)
    if out is not None and out.exists() and not out.is_dir():
        fail(f"--out {out} is a file: name a folder")
    from dao_core.screening.load_models import load_search_models

    with progress_bar(", ".join(formulas)) as show:
        models = load_search_models(**names)
        outcome = search(parsed, models, wanted, on_progress=show)
    info = report_info(", ".join(formulas), outcome, models, wanted)
    page = None
    if out is not None:  # before the table: a reader such as `head` may end the printing
        from dao_core.screening.report.page import write_report

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


def predict(
    formula: Annotated[str, typer.Argument(help="A formula such as SrTiO3 or Ca(OH)2.")],
    n: Annotated[
        int,
        typer.Option("--n", "-n", min=1, help="Structures proposed, two fifths known prototypes, the rest generated."),
    ] = 40,
    z: Annotated[str, typer.Option(help="Formula units per cell: 'auto' (all that fit) or a number.")] = "auto",
    max_atoms: Annotated[int, typer.Option(min=1, max=64, help="Largest cell for --z auto.")] = 20,
    out: Out = None,
    seed: Seed = 0,
    budget: Annotated[float, typer.Option(min=1, help="Seconds after which no new relaxation starts.")] = 40.0,
    crysdb: Annotated[
        Path | None, typer.Option(help="CrysDB table whose structures serve as templates, beside AFLOW's prototypes.")
    ] = None,
    potential: PotentialName = "dao",
    generator: GeneratorName = "dao",
    framework: Framework = None,
    keep: Keep = None,
    lattice: Lattice = None,
    spacegroup: Spacegroup = None,
    free: Free = False,
    unbalanced: Unbalanced = False,
    top: Annotated[int, typer.Option(min=1, help="Rows shown.")] = 10,
) -> None:
    """Predict the crystal structures of one formula, offline, in about a minute.

    Examples:  dao predict SrTiO3    dao predict NaCl --out nacl --n 80    dao predict TiO2 --spacegroup 136
    """
    if z != "auto" and not z.isdecimal():
        fail(f"--z {z}: give 'auto' or a number of formula units")
    settings: dict[str, Any] = {"z": "auto" if z == "auto" else int(z), "max_atoms": max_atoms,
                                **split_proposals(n, generator), "seed": seed, "budget_seconds": budget,
                                "given": given_settings(framework, keep, lattice, spacegroup, free)}  # fmt: skip
    names = {"generator": generator, "potential": potential, "templates": "auto" if crysdb is None else str(crysdb)}
    raise typer.Exit(predict_formulas([formula], settings, names, out, top, unbalanced=unbalanced))
