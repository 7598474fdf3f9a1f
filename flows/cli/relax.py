"""`dao relax`: structures in, relaxed structures and a table out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.console import quiet_libraries, table, working
from flows.cli.errors import fail, interruptible
from flows.cli.options import PotentialName
from flows.cli.outputs import prepare_folder
from flows.cli.relaxed_table import (
    COLUMNS,
    SHOWN,
    RowOfTable,
    earlier_rows,
    kept_rows,
    mixed_note,
    readable,
    unfinished,
    write_table,
)

if TYPE_CHECKING:
    from dao_core.energy.potential import Potential
    from dao_core.energy.relaxation.relax import RelaxationResult
    from dao_core.energy.relaxation.settings import RelaxSettings
    from dao_core.readers.base import Row


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
    from dao_core.energy.relaxation.settings import RelaxSettings
    from dao_core.readers.base import Refusal, naming
    from dao_core.readers.names import distinct_names
    from dao_core.readers.read import rows_of_files

    quiet_libraries()
    asked = RelaxSettings(**settings)  # refused before anything is read
    entries = rows_of_files(files)
    read = [(name, row) for name, row in entries if not isinstance(row.value, Refusal)]
    refused = [
        _row(file=row.where, status="unreadable", reason=row.value.reason)
        for _, row in entries
        if isinstance(row.value, Refusal)
    ]
    if not read:
        first = naming(Path(str(refused[0]["file"])), ValueError(str(refused[0]["reason"])))
        fail(first if len(files) == 1 else f"none of {len(files)} files could be read; the first: {first}")
    prepare_folder(out)
    targets = [out / f"{name}.cif" for name in distinct_names(name for name, _ in read)]
    check_targets(targets, files, out)
    from dao_core.energy.registry import load_potential
    from tasks.run_log import record_command

    model = load_potential(potential)
    with record_command(out, "relax"):
        done, kept = _relax_all([row for _, row in read], targets, model, asked, refused)
    _print_table([*refused, *done], kept, model, asked)
    return 1 if refused or any("rejected" in str(r["status"]) or "failed" in str(r["status"]) for r in done) else 0


def _row(**cells: object) -> RowOfTable:
    """A row of the table; what isn't given has no value."""
    texts = {name: readable(cell) if isinstance(cell, str) else cell for name, cell in cells.items()}
    return {name: texts.get(name) for name in COLUMNS}


def _relax_all(
    rows: Sequence[Row[Any]], targets: Sequence[Path], model: Potential, settings: RelaxSettings,
    refused: Sequence[RowOfTable],
) -> tuple[list[RowOfTable], list[dict[str, str]]]:  # fmt: skip
    """Relax the structures and write each to a file of its own, and the table.

    Returns:
        Their rows of the table, and those of earlier runs that stay in it.
    """
    from dao_core.artifacts import write_atomic
    from dao_core.energy.relaxation.relax import relax

    results = relax([row.value for row in rows], model, settings)
    done = [_result_row(*of_one, model, settings) for of_one in zip(rows, targets, results, strict=True)]
    out = targets[0].parent
    kept = kept_rows(out, {target.name for target in targets})
    write_table(out, [*kept, *refused, *map(unfinished, done)])  # first, so that after a kill its results count as ours
    for target, result in zip(targets, results, strict=True):
        write_atomic(target, result.crystal.to_cif())
    write_table(out, [*kept, *refused, *done])
    return done, kept


def _result_row(
    row: Row[Any], target: Path, result: RelaxationResult, model: Potential, settings: RelaxSettings
) -> RowOfTable:
    """A row of the table. What ended outside the data of the model says so, however well its energy converged."""
    from dao_core.energy.potential import label_of

    outside = result.outside and f"outside what {model.identity} was trained on: {result.outside}"
    reason = "; ".join([part for part in (result.reason, outside) if part] + list(row.notes))
    return _row(
        file=row.where, status=str(result.status), energy_per_atom=result.energy_per_atom, steps=result.n_steps,
        fmax=result.fmax, reason=reason or None, result=target.name, energy_identity=model.identity,
        energy_kind=label_of(model).kind, pressure_gpa=settings.pressure_gpa,
    )  # fmt: skip


def _print_table(
    rows: Sequence[RowOfTable], kept: Sequence[RowOfTable], model: Potential, settings: RelaxSettings
) -> None:
    """Show what was done, and say so where the folder's table holds energies that don't compare with it."""
    from dao_core.energy.potential import label_of

    pressure = f", relaxed at {settings.pressure_gpa:g} GPa" if settings.pressure_gpa else ""
    decimals = {"energy_per_atom": 4, "fmax": 3}
    cells = [[_shown(row[name], decimals.get(name, 0)) for name in SHOWN] for row in rows]
    title = f"{label_of(model).kind} energies in eV/atom from {model.identity}{pressure}"
    table(title, SHOWN, cells, values=rows)
    if (note := mixed_note([*kept, *rows])) is not None:
        print(f"note: {note}")


def check_targets(targets: Sequence[Path], inputs: Sequence[Path], out: Path) -> None:
    """End with one line where a result would take the place of a structure that is read, or of somebody's file.

    Args:
        targets: Files to write.
        inputs: Files that are read.
        out: Folder of the results: what the table of an earlier run there lists may be written anew.
    """
    earlier = {row["result"] for row in earlier_rows(out)}
    read = {os.path.realpath(path) for path in inputs}  # Path.resolve raises for links that lead in a circle
    for target in targets:
        if os.path.realpath(target) in read:
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

    Several runs may share a folder: each row of relaxed.csv names the model and the pressure of its energy.

    Examples:  dao relax a.cif b.cif    dao relax *.cif --out done --potential chgnet --pressure 10
    """
    settings = {"fmax": fmax, "max_steps": steps, "pressure_gpa": pressure, "relax_cell": not keep_cell,
                "keep_symmetry": keep_symmetry}  # fmt: skip
    with interruptible("the same command starts again from the beginning"), working("relax"):
        status = relax_files(files, out, potential, settings)
    raise typer.Exit(status)
