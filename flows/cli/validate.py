"""`dao validate ...`: first principles decide, through Quantum ESPRESSO."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.console import quiet_libraries, table
from flows.cli.errors import fail

if TYPE_CHECKING:
    from dao_core.crystal import Crystal
    from dao_core.dft.settings import DftSettings
    from dao_core.dft.validate import ValidationResult, ValidationRun

app = typer.Typer(
    help="Check structures with density-functional theory (Quantum ESPRESSO).",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def run(
    files: Annotated[
        list[Path],
        typer.Argument(help="Structure files, or the report folder of a screening, whose best are taken."),
    ],
    protocol: Annotated[str, typer.Option(help="Cutoffs and k-points: fast, balanced or stringent.")] = "fast",
    top: Annotated[int, typer.Option(min=1, help="From a report: the best structure of this many formulas.")] = 3,
    max_atoms: Annotated[
        int | None, typer.Option(min=1, help="From a report: leave out larger cells, and say which; default: no limit.")
    ] = None,
    pseudo_dir: Annotated[
        Path | None, typer.Option(help="Folder of UPF files; default: what `setup` installed.")
    ] = None,
    command: Annotated[str, typer.Option(help="The pw.x program, such as /opt/qe/bin/pw.x.")] = "pw.x",
    ranks: Annotated[int, typer.Option(min=1, help="MPI ranks for each calculation.")] = 1,
    hours: Annotated[float, typer.Option(min=0.01, help="Time limit of one pw.x run, in hours.")] = 12.0,
    electrons: Annotated[
        bool, typer.Option("--electrons", help="Also bands, densities of states, charges and electron localisation.")
    ] = False,
    phonons: Annotated[bool, typer.Option("--phonons", help="Also the vibrations at Gamma (ph.x).")] = False,
    dispersion: Annotated[
        int,
        typer.Option(
            min=0, help="Also the phonon dispersion (ph.x), with this many q-points along each axis; 0: none."
        ),
    ] = 0,
    hubbard: Annotated[
        str,
        typer.Option(
            help="Hubbard U on d shells of oxides and fluorides: none, mp (Materials Project's values) or hp (hp.x)."
        ),
    ] = "none",
    qe_version: Annotated[
        str | None, typer.Option(help="Version of pw.x, such as 7.3, on which the form of U depends; default: ask it.")
    ] = None,
    orderings: Annotated[
        int, typer.Option(min=1, help="Magnetic orderings to compute for a magnetic crystal; the lowest is kept.")
    ] = 4,
    elements: Annotated[bool, typer.Option(help="Also compute the elements, for the formation energy.")] = True,
    reference: Annotated[
        list[Path] | None,
        typer.Option(help="Structure file of an element that replaces the built-in one; may be repeated."),
    ] = None,
    compare: Annotated[bool, typer.Option(help="Also compute DAO-P's formation energy and its error.")] = True,
    slurm: Annotated[bool, typer.Option("--slurm", help="Run pw.x as Slurm jobs.")] = False,
    partition: Annotated[str | None, typer.Option(help="Slurm partition.")] = None,
    account: Annotated[str | None, typer.Option(help="Slurm account.")] = None,
    line: Annotated[
        list[str] | None, typer.Option(help="Line to add to the job script, such as 'module load qe'; may be repeated.")
    ] = None,
    poll: Annotated[
        float | None, typer.Option(min=0.01, help="Seconds between two looks at the Slurm queue; default: 30.")
    ] = None,
    crysdb: Annotated[Path | None, typer.Option(help="Folder of a CrysDB to add the validated structures to.")] = None,
    crysdb_config: Annotated[Path | None, typer.Option(help="YAML settings that the CrysDB was built with.")] = None,
    root: Annotated[Path, typer.Option(help="Folder of the calculations.")] = Path("runs/dft"),
) -> None:
    """Relax structures with pw.x and compute their energies; finished calculations are reused.

    Examples:  dao validate run nacl/001_NaCl_225.cif    dao validate run runs/screen/report --top 3 --no-elements
    """
    from flows.cli.console import working
    from flows.cli.errors import interruptible
    from flows.cli.validation_output import pages_of

    settings = {"protocol": protocol, "pseudo_dir": pseudo_dir, "ranks": ranks, "elements": elements,
                "command": command, "wall_seconds": 3600 * hours, "hubbard": hubbard, "qe_version": qe_version,
                "max_orderings": orderings}  # fmt: skip
    properties = tuple(name for name, asked in (("electrons", electrons), ("phonons", phonons)) if asked)
    properties += (f"dispersion {dispersion}",) if dispersion else ()
    queue: dict[str, Any] = {"partition": partition, "account": account, "extra": tuple(line or ()),
                             "poll_seconds": 30.0 if poll is None else poll}  # fmt: skip
    check_companions(slurm, (partition, account, line, poll), crysdb, crysdb_config)
    with interruptible("the same command continues from the last good structure"), working("pw.x"):
        options = ValidateOptions(settings, root, queue if slurm else None, reference or (), top, max_atoms, compare,
                                  crysdb, crysdb_config, properties, pages_of(files))  # fmt: skip
        raise typer.Exit(validate_files(files, options))


def check_companions(slurm: bool, queue: Sequence[object], crysdb: Path | None, config: Path | None) -> None:
    """End with one line where an option is given without the one that it belongs to."""
    if not slurm and any(value is not None for value in queue):
        fail("--partition, --account, --line and --poll say how Slurm runs pw.x: add --slurm, or leave them out")
    if config is not None and crysdb is None:
        fail("--crysdb-config says how a CrysDB was built: name it with --crysdb")


@app.command()
def export(
    root: Annotated[Path, typer.Option(help="Folder of the calculations, as given to `dao validate run`.")] = Path(
        "runs/dft"
    ),
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("ro-crate-metadata.json"),
    candidates: Annotated[
        list[Path] | None,
        typer.Option(help="candidates.parquet of the screening that they came from; may be repeated."),
    ] = None,
) -> None:
    """Write where every energy comes from (files, programs, pseudopotentials, parents) as an RO-Crate record.

    Examples:  dao validate export    dao validate export --root runs/dft --out record.json
    """
    from flows.cli.validation_output import export_provenance

    export_provenance(root, out, candidates or ())


@app.command()
def setup(
    origin: Annotated[
        Path | None, typer.Option("--from", help="Folder of UPF files to install instead of the download.")
    ] = None,
    target: Annotated[Path | None, typer.Option(help="Folder to install to; default: your data folder.")] = None,
) -> None:
    """Install and verify pseudopotentials: PseudoDojo 0.4 PBE (18 MB to download), or files of your own.

    Examples:  dao validate setup    dao validate setup --from ~/SSSP_1.3_PBE
    """
    from flows.cli.pseudopotentials import install_pseudopotentials

    install_pseudopotentials(origin, target)


@app.command()
def converge(
    elements: Annotated[list[str], typer.Argument(help="Symbols, such as Si O.")],
    cutoff: Annotated[
        list[float] | None, typer.Option(min=1.0, help="In Ry, repeatable; default: the library's, and one beyond.")
    ] = None,
    protocol: Annotated[str, typer.Option(help="Whose k-points: fast, balanced or stringent.")] = "fast",
    pseudo_dir: Annotated[
        Path | None, typer.Option(help="Folder of UPF files; default: what `setup` installed.")
    ] = None,
    command: Annotated[str, typer.Option(help="The program, such as '/opt/qe/bin/pw.x'.")] = "pw.x",
    reference: Annotated[
        list[Path] | None, typer.Option(help="File of a pure element to take instead of the built-in one; repeatable.")
    ] = None,
    root: Annotated[Path, typer.Option(help="Folder where every calculation is kept.")] = Path("runs/dft"),
) -> None:
    """Show how far energy and pressure of an element are off at each cutoff of its pseudopotential.

    Examples:  dao validate converge Si    dao validate converge Na Cl --cutoff 60 --cutoff 80 --cutoff 100
    """
    from flows.cli.console import working
    from flows.cli.errors import interruptible
    from flows.cli.pseudopotentials import converge_elements

    settings = {"protocol": protocol, "pseudo_dir": pseudo_dir, "command": command}
    with interruptible("the same command goes on with the cutoffs that are left"), working("pw.x"):
        status = converge_elements(elements, settings, root, cutoffs=cutoff or (), references=reference or ())
    raise typer.Exit(status)


@dataclass(frozen=True)
class NamedStructure:
    """One structure to validate: a name for people, the candidate's id, the structure or why there is none."""

    name: str
    id: str
    crystal: Crystal | None
    reason: str = ""
    model_formation_energy: float | None = None  # eV/atom, where a screening knows it


@dataclass(frozen=True)
class ValidateOptions:
    """How the structures are validated.

    Attributes:
        settings: Of `DftSettings`.
        root: Folder where every calculation is kept.
        slurm: Of `SlurmSettings`; none: programs run here.
        references: Files of elements, preferred to the built-in ones.
        top: Of a report, the best of so many formulas.
        max_atoms: Of a report, larger cells are left out, and named.
        compare: Whether DAO-P's formation energy is computed too.
        crysdb: Folder of a CrysDB that gets the rows.
        crysdb_config: Settings that it was built with.
        properties: What is computed of each validated structure: electrons, phonons, "dispersion 2" (q-points an axis).
        pages: Pages of reports that get what is computed.
    """

    settings: Mapping[str, Any]
    root: Path
    slurm: Mapping[str, Any] | None = None
    references: Sequence[Path] = ()
    top: int = 3
    max_atoms: int | None = None
    compare: bool = True
    crysdb: Path | None = None
    crysdb_config: Path | None = None
    properties: tuple[str, ...] = ()
    pages: tuple[Path, ...] = ()


def validate_files(files: Sequence[Path], options: ValidateOptions) -> int:
    """Take each structure through pw.x.

    Args:
        files: Files of any format that is read, or the report of a screening (its folder or `candidates.parquet`),
            whose best are taken.
        options: How.

    Returns:
        The exit status: 0 where at least one was validated, 1 where none was.
    """
    quiet_libraries()
    from dao_core.artifacts import Ledger
    from dao_core.crysdb.config import BuildConfig
    from dao_core.dft.element_references import read_references
    from dao_core.dft.launch.slurm import SlurmSettings, make_launcher
    from dao_core.dft.settings import DftSettings
    from dao_core.dft.to_crysdb import collect_rows
    from dao_core.dft.validate import ValidationRun
    from tasks.config import load_config
    from tasks.run_log import record_command

    level, references = DftSettings(**options.settings), read_references(options.references)
    launcher = make_launcher(level, None if options.slurm is None else SlurmSettings(**options.slurm))
    config = BuildConfig() if options.crysdb_config is None else load_config(options.crysdb_config, BuildConfig)
    alike = Counter(path.name for path in dict.fromkeys(files))
    structures = [s for path in files for s in _structures(path, options, in_full=alike[path.name] > 1)]
    if structures and all(s.crystal is None for s in structures):
        first = structures[0]
        fail(f"none of {len(structures)} structures could be read; the first, {first.name}: {first.reason}")
    structures = _with_own_ids(structures)
    _check_elements(level, structures, references)
    with record_command(options.root, "validate") as log:
        n_ok, failure = _validate_all(structures, ValidationRun(level, options.root, launcher, references), options)
        rows = collect_rows(Ledger(options.root), level, crysdb=options.crysdb, config=config)
        if not n_ok:
            log.finish("failed", error=f"none of {len(structures)} structures could be validated: {failure}")
    where = "" if rows.version is None else f", in {options.crysdb} since version {rows.version}"
    print(
        f"{n_ok} of {len(structures)} validated; {rows.n_rows} rows for CrysDB"
        + (f": {rows.file}{where}" if rows.file else "")
    )
    if rows.problem:
        print(rows.problem)
    return 0 if n_ok else 1


def _validate_all(
    structures: Sequence[NamedStructure], run: ValidationRun, options: ValidateOptions
) -> tuple[int, str | None]:
    """Validate and print the table; how many were validated, and what is said of the first that was not."""
    from dao_core.dft.properties import compute_properties
    from dao_core.dft.validate import validate_crystal
    from dao_core.screening.report.first_principles import save_first_principles
    from flows.cli.validation_output import print_properties, show_in_pages

    level = run.settings
    parts: list[Path] = []
    unknown = [s.crystal for s in structures if s.crystal is not None and s.model_formation_energy is None]
    formation = level.elements or bool(run.references)
    predicted = _dao_energies(unknown) if options.compare and formation and unknown else {}
    rows: list[tuple[object, ...]] = []
    n_ok, failure = 0, None
    for s in structures:
        if s.crystal is None:
            rows.append((s.name, "unreadable", None, None, None, None, None, s.reason))
            failure = failure or f"{s.name}: {s.reason}"
            continue
        energy = predicted.get(id(s.crystal), s.model_formation_energy)
        result = validate_crystal(s.crystal, run, material_id=s.id, dao_formation_energy_per_atom=energy)
        n_ok += result.ok
        if not result.ok:
            failure = failure or f"{s.name}: {result.message or result.status}"
        rows.append(_line(s.name, result, run))
        properties = compute_properties(run, result, options.properties) if result.ok and options.properties else None
        if properties is not None:
            print_properties(s.name, Path(run.root), result, properties)
        parts.append(save_first_principles(Path(run.root), result, properties))
    show_in_pages(parts, options.pages)
    names = ("file", "status", "eV/atom", "formation", "above QE hull", "DAO-P off", "same structure", "message")
    shown = [tuple(f"{cell:.4f}" if isinstance(cell, float) else cell for cell in row) for row in rows]
    table(f"pw.x, protocol {level.protocol}; every run is kept below {run.root}", names, shown,
          values=[dict(zip(names, row, strict=True)) for row in rows])  # fmt: skip
    return n_ok, failure


def _with_own_ids(structures: Sequence[NamedStructure]) -> list[NamedStructure]:
    """Two files of one name are two structures: the later one's id gets a number."""
    given = {structure.id for structure in structures}
    taken: set[str] = set()
    out = []
    for structure in structures:
        own = structure.id
        if own in taken:
            own = next(name for n in count(2) if (name := f"{structure.id}_{n}") not in given | taken)
        taken.add(own)
        out.append(replace(structure, id=own))
    return out


def _structures(path: Path, options: ValidateOptions, *, in_full: bool = False) -> list[NamedStructure]:
    """The structures of one argument; what cannot be read is kept with its reason."""
    import numpy as np

    from dao_core.crystal import Crystal
    from dao_core.dft.candidate_files import REPORT_COLUMNS, require_columns
    from dao_core.readers.base import Refusal
    from dao_core.readers.read import named_rows
    from dao_core.screening.report.files import best_rows, is_report

    listed = path / "candidates.parquet" if path.is_dir() else path
    if listed.suffix == ".parquet" and not listed.is_file():
        fail(f"{listed} is not there: name a CIF, or the report folder of a screening")
    if listed.suffix == ".parquet" and is_report(listed):
        require_columns(listed, REPORT_COLUMNS)
        best = best_rows(listed, top=options.top, max_atoms=options.max_atoms)
        if best.left_out:
            print(f"left out: {best.left_out}; a larger --max-atoms takes them")
        out = []
        for row in best.rows:
            frac = np.array(row["frac_coords"]).reshape(-1, 3)
            crystal = Crystal(np.array(row["lattice"]).reshape(3, 3), frac, np.array(row["atomic_numbers"]))
            name = f"#{row['rank']} {row['formula']}"
            energy = row["model_formation_energy"]
            out.append(NamedStructure(name, str(row["id"]), crystal, model_formation_energy=energy))
        return out
    out = []
    for name, entry in named_rows(path, in_full=in_full):
        if isinstance(entry.value, Refusal):
            out.append(NamedStructure(entry.where, name, None, entry.value.reason))
        else:
            out.append(NamedStructure(entry.where, name, entry.value))
    return out


def _check_elements(
    level: DftSettings, structures: Sequence[NamedStructure], references: Mapping[str, Crystal]
) -> None:
    """Raise MissingElementError before anything runs, naming every element without a pseudopotential."""
    from dao_core.dft.pseudo.library import find_library

    crystals = [s.crystal for s in structures if s.crystal is not None]
    if crystals:
        find_library(level.pseudo_dir).select({s for c in (*crystals, *references.values()) for s in c.symbols})


def _dao_energies(crystals: Sequence[Crystal]) -> dict[int, float]:
    """DAO-P's formation energy (eV/atom) of each structure by identity, for the comparison; empty without a model."""
    from dao_core.energy.potential import PotentialResult
    from dao_core.energy.registry import load_potential
    from dao_core.models.checkpoint_io import CheckpointError

    try:
        outcomes = load_potential().compute(crystals)
    except CheckpointError:
        return {}
    return {
        id(c): o.energy / c.n_atoms for c, o in zip(crystals, outcomes, strict=True) if isinstance(o, PotentialResult)
    }


def _line(name: str, result: ValidationResult, run: ValidationRun) -> tuple[object, ...]:
    values = (result.energy_per_atom, result.formation_energy_per_atom, result.e_above_hull, result.dao_error)
    message = result.message or None
    if result.ok and result.missing_references:
        failed = [e for e in result.missing_references if e in run.references]
        absent = [e for e in result.missing_references if e not in run.references]
        advice = "give one with --reference" if run.settings.elements else "leave out --no-elements"
        words = [f"the reference given for {', '.join(failed)} could not be computed"] if failed else []
        words += [f"no reference for {', '.join(absent)}: {advice}"] if absent else []
        message = "; ".join([message, *words] if message else words)
    return (name, result.status, *values, result.same_structure, message)
