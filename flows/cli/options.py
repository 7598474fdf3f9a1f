"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.errors import fail

Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder for CIF files in rank order, candidates.parquet and index.html; default: only print the table."
    ),
]


Seed = Annotated[int, typer.Option(help="Random seed; the same seed gives the same candidates.")]


PotentialName = Annotated[
    str,
    typer.Option(
        help="Energy model that relaxes every candidate: dao, sevennet, chgnet, a DAO-P folder or an installed plug-in."
    ),
]


JudgeName = Annotated[
    str,
    typer.Option(
        help="Second energy model that relaxes and ranks the best: sevennet, chgnet, none or an installed plug-in."
    ),
]


Dispersion = Annotated[
    bool | None,
    typer.Option(
        "--dispersion/--no-dispersion",
        help="Add dispersion, PBE-D3(BJ), to the judge's energies. Default: to SevenNet's, which lack it.",
    ),
]


LibraryName = Annotated[str, typer.Option(help="Known structures to start from: auto (the installed library) or none.")]


Order = Annotated[
    str, typer.Option(help="Rank by probability, by listed (how likely a database has it) or by energy (lowest first).")
]


MaxAtoms = Annotated[
    int,
    typer.Option(min=1, max=200, help="Most atoms in a cell of a prototype; if not 64, of a known structure too."),
]


GeneratedAtoms = Annotated[
    int | None,
    typer.Option(
        min=1, max=200, help="Most atoms in a generated cell; default: as many as the generator was trained on."
    ),
]


GeneratorName = Annotated[
    str, typer.Option(help="What generates structures: dao, a DAO-G checkpoint folder, or none (prototypes only).")
]


Framework = Annotated[
    Path | None,
    typer.Option(help="Structure file whose lattice and atoms stay; the rest of the formula is generated around them."),
]


Keep = Annotated[str | None, typer.Option(help="Elements of --framework that stay, such as Ti or Mg,Ni; default: all.")]


Lattice = Annotated[Path | None, typer.Option(help="Structure file whose lattice stays; all atoms are generated.")]


Spacegroup = Annotated[
    int | None,
    typer.Option(min=1, max=230, help="Space group (International Tables number) that every structure has at least."),
]


Free = Annotated[
    bool, typer.Option("--free", help="Relax what --framework or --lattice gave as well, after generating around it.")
]


Unbalanced = Annotated[
    bool, typer.Option("--unbalanced", help="With --system: also formulas that are not charge-balanced.")
]


def given_settings(
    framework: Path | None, keep: str | None, lattice: Path | None, spacegroup: int | None, free: bool
) -> dict[str, Any]:
    """The options that hold a part of the structure as the settings of a search."""
    elements = tuple(e.strip() for e in keep.split(",")) if keep else ()
    if elements and framework is None:
        fail("--keep names elements of a --framework: give its CIF")
    if free and framework is None and lattice is None:
        fail("--free lets go of a --framework or a --lattice: give its CIF")
    return {"framework": framework, "keep": elements, "lattice": lattice, "spacegroup": spacegroup, "hold": not free}


def parse_order(text: str) -> str:
    """One of the orders of candidates."""
    if text not in ("probability", "listed", "energy"):
        fail(f"--order {text}: use probability, listed or energy")
    return text


def parse_pressures(text: str | None) -> tuple[float, ...]:
    """Pressures in GPa out of a list such as "0,10,20"; a user error otherwise."""
    try:
        return tuple(float(x) for x in text.split(",")) if text else ()
    except ValueError:
        fail(f"--pressure {text}: give GPa, separated by commas, such as 0,10,20")


def split_proposals(n: int, generator: str) -> dict[str, int]:
    """How many of `n` structures come from prototypes and how many from the generator, as settings of a search."""
    from dao_core.screening.settings import proposal_shares

    return proposal_shares(n, generator=generator != "none")
