"""`dao relax`: structures in, relaxed structures and a table out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.console import quiet_libraries, table
from flows.cli.errors import fail
from flows.cli.options import PotentialName


def relax_files(files: Sequence[Path], out: Path, potential: str, settings: Mapping[str, Any]) -> int:
    """Relax every readable file; 0, or 1 where at least one was unreadable or rejected."""
    from dao_core.crystal import Crystal, InvalidCrystalError

    quiet_libraries()
    crystals, names, refused = [], [], []
    for path in files:
        try:
            text = path.read_text(errors="replace")
            crystals.append(Crystal.from_extxyz(text) if path.suffix in (".xyz", ".extxyz") else Crystal.from_cif(text))
            names.append(path.name)
        except (InvalidCrystalError, OSError) as error:
            refused.append((path.name, "unreadable", None, None, None, str(error)))
    if not crystals:
        fail(f"none of {len(files)} files could be read; the first: {refused[0][5]}")
    from dao_core.artifacts import write_atomic
    from dao_core.energy.registry import load_potential
    from dao_core.energy.relaxation.relax import RelaxSettings, relax
    from tasks.run_log import record_command

    model = load_potential(potential)
    rows: list[tuple[object, ...]] = list(refused)
    columns = ("file", "status", "energy_per_atom", "steps", "fmax", "reason")
    with record_command(out, "relax"):
        results = relax(crystals, model, RelaxSettings(**settings))
        for name, result in zip(names, results, strict=True):
            write_atomic(out / f"{Path(name).stem}.cif", result.crystal.to_cif())
            energy = None if result.energy_per_atom is None else f"{result.energy_per_atom:.4f}"
            rows.append((name, str(result.status), energy, result.n_steps, f"{result.fmax:.3f}", result.reason))
        import csv
        import io

        lines = io.StringIO()
        csv.writer(lines).writerows([columns, *rows])
        write_atomic(out / "relaxed.csv", lines.getvalue())
    table(f"energies in eV/atom from {model.identity}", columns, rows)
    return 1 if refused or any("rejected" in str(r.status) or "failed" in str(r.status) for r in results) else 0


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
    settings = {"fmax": fmax, "max_steps": steps, "pressure_gpa": pressure, "relax_cell": not keep_cell,
                "keep_symmetry": keep_symmetry}  # fmt: skip
    raise typer.Exit(relax_files(files, out, potential, settings))
