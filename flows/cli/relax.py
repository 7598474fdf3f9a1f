"""`dao relax`: structures in, relaxed structures and a table out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.console import quiet_libraries, table, working
from flows.cli.errors import fail
from flows.cli.options import PotentialName
from flows.cli.outputs import prepare_folder

if TYPE_CHECKING:
    from dao_core.energy.relaxation.settings import RelaxSettings
    from dao_core.readers.base import Row


TABLE = "relaxed.csv"
COLUMNS = ("file", "status", "energy_per_atom", "steps", "fmax", "reason", "result")


def relax_files(files: Sequence[Path], out: Path, potential: str, settings: Mapping[str, Any]) -> int:
    """Relax every structure of every file.

    Args:
        files: Files of any format that is read; several frames or blocks give several results.
        out: Folder for the results.
        potential: Name of an energy model.
        settings: Of `RelaxSettings`.

    Returns:
        The exit status: 0, or 1 where a structure was unreadable or rejected.
    """
    from dao_core.artifacts import write_atomic
    from dao_core.energy.relaxation.settings import RelaxSettings
    from dao_core.readers.base import Refusal, naming
    from dao_core.readers.names import distinct_names
    from dao_core.readers.read import rows_of_files

    quiet_libraries()
    asked = RelaxSettings(**settings)  # refused before anything is read
    entries = rows_of_files(files)
    read = [(name, row) for name, row in entries if not isinstance(row.value, Refusal)]
    refused = [
        (row.where, "unreadable", None, None, None, row.value.reason, None)
        for _, row in entries
        if isinstance(row.value, Refusal)
    ]
    if not read:
        first = naming(Path(refused[0][0]), ValueError(refused[0][5]))
        fail(first if len(files) == 1 else f"none of {len(files)} files could be read; the first: {first}")
    prepare_folder(out)
    names = distinct_names(name for name, _ in read)
    check_targets([out / f"{name}.cif" for name in names], files, out / TABLE)
    from dao_core.energy.registry import load_potential
    from tasks.run_log import record_command

    model = load_potential(potential)
    with record_command(out, "relax"):
        import csv
        import io

        structures = [row for _, row in read]
        done = _relax_all(structures, [out / f"{name}.cif" for name in names], model, asked)
        rows = [*refused, *done]
        lines = io.StringIO()
        csv.writer(lines).writerows([COLUMNS, *kept_results(out, set(names)), *rows])
        write_atomic(out / TABLE, lines.getvalue())
    values = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    shown = [(*row[:2], _shown(row[2], 4), row[3], _shown(row[4], 3), *row[5:]) for row in rows]
    table(f"energies in eV/atom from {model.identity}", COLUMNS, shown, values=values)
    return 1 if refused or any("rejected" in str(row[1]) or "failed" in str(row[1]) for row in done) else 0


def kept_results(out: Path, names: Collection[str]) -> list[list[str]]:
    """Lines of an earlier run's table in the same folder whose results are still there and not written anew."""
    import csv

    if not (out / TABLE).is_file():
        return []
    earlier = csv.DictReader((out / TABLE).read_text().splitlines())
    anew = {f"{name}.cif" for name in names}
    return [
        [row.get(column) or "" for column in COLUMNS] for row in earlier
        if (result := row.get("result")) and result not in anew and (out / result).is_file()
    ]  # fmt: skip


def _relax_all(
    rows: Sequence[Row[Any]], targets: Sequence[Path], model: Any, settings: RelaxSettings
) -> list[tuple[object, ...]]:
    """Relax and write each structure to a file of its own; the lines of the table.

    What ended outside the data of the model says so: its energy means little, however well it converged.
    """
    from dao_core.artifacts import write_atomic
    from dao_core.energy.relaxation.relax import relax

    results = relax([row.value for row in rows], model, settings)
    lines: list[tuple[object, ...]] = []
    for target, row, result in zip(targets, rows, results, strict=True):
        write_atomic(target, result.crystal.to_cif())
        outside = result.outside and f"outside what {model.identity} was trained on: {result.outside}"
        reason = "; ".join([part for part in (result.reason, outside) if part] + list(row.notes))
        numbers = (result.energy_per_atom, result.n_steps, result.fmax)
        lines.append((row.where, str(result.status), *numbers, reason or None, target.name))
    return lines


def check_targets(targets: Sequence[Path], inputs: Sequence[Path], table_file: Path) -> None:
    """End with one line where a result would take the place of a structure that is read, or of somebody's file.

    Args:
        targets: Files to write.
        inputs: Files that are read.
        table_file: Table of an earlier run in this folder: what it lists may be written anew.
    """
    import csv

    earlier: set[str] = set()
    if table_file.is_file():
        earlier = {row.get("result") or "" for row in csv.DictReader(table_file.read_text().splitlines())}
    read = {path.resolve() for path in inputs}
    for target in targets:
        if target.resolve() in read:
            fail(f"{target} is read and would be overwritten: name another folder with --out")
        if target.exists() and target.name not in earlier:
            fail(f"{target} is there already and no result of `dao relax`: name another folder with --out")


def _shown(value: object, decimals: int) -> object:
    return f"{value:.{decimals}f}" if isinstance(value, float) else value


def relax(
    files: Annotated[
        list[Path], typer.Argument(help="Structure files: CIF, extended xyz, POSCAR, JSON, CSV or Parquet.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the relaxed CIF files and relaxed.csv.")] = Path("relaxed"),
    potential: PotentialName = "dao",
    fmax: Annotated[
        float, typer.Option(min=1e-6, help="Stop when no force is larger than this, in eV/angstrom.")
    ] = 0.05,
    steps: Annotated[int, typer.Option(min=0, help="Stop after this many steps.")] = 300,
    pressure: Annotated[float, typer.Option(help="External pressure in GPa.")] = 0.0,
    keep_cell: Annotated[bool, typer.Option("--keep-cell", help="Relax the atoms only, not the cell.")] = False,
    keep_symmetry: Annotated[bool, typer.Option("--keep-symmetry", help="Keep the space group.")] = False,
) -> None:
    """Relax structures with an energy model; one that falls apart is reported and left as it was.

    Examples:  dao relax a.cif b.cif    dao relax *.cif --out done --potential chgnet --pressure 10
    """
    settings = {"fmax": fmax, "max_steps": steps, "pressure_gpa": pressure, "relax_cell": not keep_cell,
                "keep_symmetry": keep_symmetry}  # fmt: skip
    with working("relax"):
        status = relax_files(files, out, potential, settings)
    raise typer.Exit(status)
