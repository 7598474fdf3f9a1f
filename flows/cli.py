"""The `dao` command. Everything heavy is imported inside the commands: `dao --help` answers at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import cli_crysdb, cli_deploy, cli_finetune, cli_runs, cli_train, cli_validate
from flows.console import explain, fail, interruptible

app = typer.Typer(
    name="dao",
    help="Crystal structure prediction: from a chemical formula to ranked structures.\n\n"
    "First steps:  dao predict SrTiO3    dao campaign configs/campaign-demo.yaml    dao COMMAND --help",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich's help would take half of the start-up time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.add_typer(cli_crysdb.app, name="crysdb")
app.add_typer(cli_train.app, name="train")
app.add_typer(cli_finetune.app, name="finetune")
app.add_typer(cli_runs.app, name="runs")
app.add_typer(cli_validate.app, name="validate")
app.command("status")(cli_runs.status)
app.command("deploy")(cli_deploy.deploy)

Out = Annotated[
    Path | None, typer.Option(help="Folder for CIF files in rank order, candidates.parquet and index.html.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same candidates.")]
PotentialName = Annotated[str, typer.Option(help="Energy model: 'dao', a DAO-P checkpoint folder, or 'chgnet'.")]
GeneratorName = Annotated[str, typer.Option(help="'dao', a DAO-G checkpoint folder, or 'none' (prototypes only).")]


Framework = Annotated[
    Path | None, typer.Option(help="CIF whose lattice and atoms are kept; the rest of the formula is generated.")
]
Keep = Annotated[str | None, typer.Option(help="Elements of --framework that are kept, such as Ti or Mg,Ni.")]
Lattice = Annotated[Path | None, typer.Option(help="CIF of which only the lattice is kept.")]
Spacegroup = Annotated[int | None, typer.Option(min=1, max=230, help="Number of a space group to generate in.")]
Free = Annotated[bool, typer.Option("--free", help="Generate around what is given, then relax all of it.")]
Unbalanced = Annotated[bool, typer.Option("--unbalanced", help="Also formulas that no charge balance allows.")]


@app.command()
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
    from flows.predicting import predict_formulas

    if z != "auto" and not z.isdecimal():
        fail(f"--z {z}: give 'auto' or a number of formula units")
    settings: dict[str, Any] = {"z": "auto" if z == "auto" else int(z), "max_atoms": max_atoms, **_shares(n, generator),
                                "seed": seed, "budget_seconds": budget,
                                "bound": _bound(framework, keep, lattice, spacegroup, free)}  # fmt: skip
    names = {"generator": generator, "potential": potential, "templates": "auto" if crysdb is None else str(crysdb)}
    raise typer.Exit(predict_formulas([formula], settings, names, out, top, unbalanced=unbalanced))


@app.command()
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
        str, typer.Option(help="Whose forces for --phonons, such as chgnet; default: --potential.")
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

    Examples:  dao screen NaCl MgO --n 10 --phonons    dao screen --system Sr-Ti-O --crysdb runs/crysdb/table
    """
    from flows.screening import screen_formulas, wanted_formulas

    if hull not in ("auto", "database", "relaxed", "none"):
        fail(f"--hull {hull}: use auto, database, relaxed or none")
    asked = {"phonons": phonons or bool(phonon_potential), "phonon_potential": phonon_potential, "n_phonons": best,
             "n_pressure": best, "pressures_gpa": _pressures(pressure)}  # fmt: skip
    found = wanted_formulas(formulas or [], system, file, unbalanced=unbalanced, max_atoms=min(10, max_atoms))
    settings = {**_shares(n, generator), "max_atoms": max_atoms, "seed": seed, "max_relaxed": relax_only,
                "budget_seconds": None if budget is None else 60 * budget,
                "bound": _bound(framework, keep, lattice, spacegroup, free)}  # fmt: skip
    names = {"generator": generator, "potential": potential, "templates": "auto" if crysdb is None else str(crysdb)}
    with interruptible("the same command continues: finished pieces are kept"):
        status = screen_formulas(found, settings, names, out, crysdb=crysdb, hull=hull, diagnostics=asked, top=top)
        raise typer.Exit(status)


@app.command()
def relax(
    files: Annotated[list[Path], typer.Argument(help="CIF or extxyz files.")],
    out: Annotated[Path, typer.Option(help="Folder for the relaxed CIF files and relaxed.csv.")] = Path("relaxed"),
    potential: PotentialName = "dao",
    fmax: Annotated[float, typer.Option(min=1e-6, help="Largest force at the end, eV/angstrom.")] = 0.05,
    steps: Annotated[int, typer.Option(min=0, help="Most steps.")] = 300,
    pressure: Annotated[float, typer.Option(help="GPa.")] = 0.0,
    keep_cell: Annotated[bool, typer.Option("--keep-cell", help="Relax positions only.")] = False,
    keep_symmetry: Annotated[bool, typer.Option("--keep-symmetry", help="Keep the space group.")] = False,
) -> None:
    """Relax structures. A structure that blows up is rejected by name and its original kept.

    Examples:  dao relax a.cif b.cif    dao relax *.cif --out done --potential chgnet --pressure 10
    """
    from flows.relaxing import relax_files

    settings = {"fmax": fmax, "max_steps": steps, "pressure_gpa": pressure, "relax_cell": not keep_cell,
                "keep_symmetry": keep_symmetry}  # fmt: skip
    raise typer.Exit(relax_files(files, out, potential, settings))


@app.command()
def campaign(
    config: Annotated[Path, typer.Argument(help="YAML settings, such as configs/campaign-demo.yaml.")],
    root: Annotated[Path | None, typer.Option(help="Folder of the run instead of the one in the settings.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="Machine: laptop, workstation, slurm, kubernetes, a file.")
    ] = None,
) -> None:
    """Run the whole way: database, training, relaxation, generation, ranking, report. Continues where it stopped.

    Example:  dao campaign configs/campaign-demo.yaml
    """
    from flows.running import run_campaign

    with interruptible("the same command continues with the stage that was running"):
        run_campaign(config, root, profile)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def benchmark(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="mp-20, mpts-52, perov-5, carbon-24, or a script in benchmarks/; without it: the list."),
    ] = None,
) -> None:
    """Run a benchmark; options after the name go to it. The last line printed is JSON. Finished shards are kept.

    Examples:  dao benchmark mp-20 --help    dao benchmark mp-20 --data DATA --limit 100 --columns templates,denovo
    """
    if name in ("-h", "--help"):  # after a name it is the benchmark's own
        typer.echo(context.get_help())
        return
    from flows.benchmarking import run_benchmark

    raise typer.Exit(run_benchmark(name, context.args))


def _bound(
    framework: Path | None, keep: str | None, lattice: Path | None, spacegroup: int | None, free: bool
) -> dict[str, Any]:
    elements = tuple(e.strip() for e in keep.split(",")) if keep else ()
    if elements and framework is None:
        fail("--keep names elements of a --framework: give its CIF")
    return {"framework": framework, "keep": elements, "lattice": lattice, "spacegroup": spacegroup, "hold": not free}


def _pressures(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(x) for x in text.split(",")) if text else ()
    except ValueError:
        fail(f"--pressure {text}: give GPa, separated by commas, such as 0,10,20")


def _shares(n: int, generator: str) -> dict[str, int]:
    from dao_core.screening.proposing import proposal_shares

    return proposal_shares(n, generator=generator != "none")


def main() -> None:
    """Entry point of the console script: user errors become one line and status 2, faults keep their traceback."""
    # Before torch is imported: two threads of one process spin against anything else that runs (8x slower, measured).
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("SPGLIB_WARNING", "OFF")  # spglib prints to stderr for every structure it gives up on
    try:
        app()
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        fail(message)


if __name__ == "__main__":
    main()
