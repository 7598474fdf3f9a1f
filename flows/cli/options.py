"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.errors import fail

Out = Annotated[
    Path | None, typer.Option(help="Folder for CIF files in rank order, candidates.parquet and index.html.")
]


Seed = Annotated[int, typer.Option(help="The same seed gives the same candidates.")]


PotentialName = Annotated[
    str, typer.Option(help="Energy model: 'dao', 'sevennet', 'chgnet', a DAO-P folder, or a package's.")
]


JudgeName = Annotated[
    str, typer.Option(help="What relaxes and ranks the survivors: 'sevennet', 'chgnet', 'none', or a package's.")
]


Dispersion = Annotated[bool, typer.Option("--dispersion", help="Add PBE-D3(BJ) to the judge: layers and molecules.")]


LibraryName = Annotated[str, typer.Option(help="Known structures: 'auto' (what is installed) or 'none'.")]


Order = Annotated[
    str, typer.Option(help="Of the candidates: 'probability', 'listed' (likely in a database) or 'energy' (lowest).")
]


MaxAtoms = Annotated[int, typer.Option(min=1, max=200, help="Largest cell of known structures and prototypes.")]


GeneratedAtoms = Annotated[
    int | None, typer.Option(min=1, max=200, help="Largest cell that is generated; default: as the generator learnt.")
]


GeneratorName = Annotated[str, typer.Option(help="'dao', a DAO-G checkpoint folder, or 'none' (prototypes only).")]


Framework = Annotated[
    Path | None, typer.Option(help="File whose lattice and atoms are kept; the rest of the formula is generated.")
]


Keep = Annotated[str | None, typer.Option(help="Elements of --framework that are kept, such as Ti or Mg,Ni.")]


Lattice = Annotated[Path | None, typer.Option(help="File of which only the lattice is kept.")]


Spacegroup = Annotated[int | None, typer.Option(min=1, max=230, help="Number of a space group to generate in.")]


Free = Annotated[bool, typer.Option("--free", help="Generate around what is given, then relax all of it.")]


Unbalanced = Annotated[
    bool, typer.Option("--unbalanced", help="Of --system also formulas that no charge balance allows.")
]


def given_settings(
    framework: Path | None, keep: str | None, lattice: Path | None, spacegroup: int | None, free: bool
) -> dict[str, Any]:
    """The options that hold a part of the structure as the settings of a search."""
    elements = tuple(e.strip() for e in keep.split(",")) if keep else ()
    if elements and framework is None:
        fail("--keep names elements of a --framework: give its CIF")
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
