"""`dao predict`: the crystal structures of one formula."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

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
    Out,
    PotentialName,
    Seed,
    Spacegroup,
    given_settings,
    parse_order,
    split_proposals,
)


def predict(
    formula: Annotated[str, typer.Argument(help="A formula such as SrTiO3, Ca(OH)2 or CuSO4.5H2O.")],
    n: Annotated[
        int,
        typer.Option("--n", "-n", min=1, help="Structures to propose: prototypes, symmetry, samples."),
    ] = 40,
    z: Annotated[str, typer.Option(help="Formula units in a cell: a number, or auto for all that fit.")] = "auto",
    max_atoms: MaxAtoms = 64,
    generated_atoms: GeneratedAtoms = None,
    out: Out = None,
    seed: Seed = 0,
    budget: Annotated[
        float,
        typer.Option(
            min=1,
            help="Time budget in seconds, without loading models: nothing new begins after it, but for the answer's "
            "first energies.",
        ),
    ] = 30.0,
    order: Order = "probability",
    crysdb: Annotated[Path | None, typer.Option(help="CrysDB table whose structures serve as templates too.")] = None,
    library: LibraryName = "auto",
    potential: PotentialName = "dao",
    judge: JudgeName = "sevennet",
    dispersion: Dispersion = None,
    generator: GeneratorName = "dao",
    framework: Framework = None,
    keep: Keep = None,
    lattice: Lattice = None,
    spacegroup: Spacegroup = None,
    free: Free = False,
    unbalanced: Annotated[bool, typer.Option("--unbalanced", hidden=True)] = False,  # noqa: ARG001 - of no effect now
    top: Annotated[int, typer.Option(min=1, help="Rows to print.")] = 10,
) -> None:
    """Predict the crystal structures of one formula, offline.

    A first table with the known structures comes within seconds; then a second energy model, the judge, relaxes and
    ranks the most probable candidates. --json prints the tables as JSON, with more of each structure and every digit.

    Examples:  dao predict SrTiO3    dao predict NaCl --out nacl --n 80    dao predict TiO2 --spacegroup 136
    """
    started = time.time()
    if z != "auto" and not z.isdecimal():
        fail(f"--z {z}: give 'auto' or a number of formula units")
    from dao_core.screening.formulas import parse_formula

    parsed = parse_formula(formula)  # refused before anything slow is imported
    settings: dict[str, Any] = {"z": "auto" if z == "auto" else int(z), "max_atoms": max_atoms,
                                "generated_atoms": generated_atoms, **split_proposals(n, generator), "seed": seed,
                                "budget_seconds": budget, "order": parse_order(order),
                                "given": given_settings(framework, keep, lattice, spacegroup, free)}  # fmt: skip
    models = {"generator": generator, "potential": potential, "judge": judge, "dispersion": dispersion,
              "templates": "auto" if crysdb is None else str(crysdb), "library": library}  # fmt: skip
    from flows.cli.search_command import SearchCommand, run_search

    command = SearchCommand(f"predict-{parsed.reduced}", settings, models, out=out, top=top)
    with interruptible("the command starts again from the beginning"):
        raise typer.Exit(run_search([parsed], command, started))
