"""What is known and suggested of a formula that agrees with a given space group, lattice or framework."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dao_core.screening.formulas import LARGEST_CELL
from dao_core.screening.given import GivenStructureError, fitting_cells, room_for, without_sites
from dao_core.screening.onto_given import onto_given, parts_of
from dao_core.screening.settings import SearchSettings
from dao_core.screening.suggestions import Suggested, Suggesters, suggest
from dao_core.screening.symmetry import SymmetryError, groups_within, snap, spacegroup_number

if TYPE_CHECKING:
    from dao_core.crystal import Crystal
    from dao_core.generate.constraints import Constraint
    from dao_core.library.known import KnownStructure

# A given lattice may be off the usual volume of its atoms by this factor: one between one and two formula units is off
# by 1.41, and of 3,000 structures of the library 99 % lie within.
MOST_OFF = 1.5
NEAR_VOLUME = 0.1  # log of volumes that are those of one structure, measured or by PBE


@dataclass(frozen=True)
class GivenCells:
    """The cells of a formula that are generated around what is given; `why_none` says why there are none."""

    cells: list[dict[str, int]]
    why_none: str = ""


def cells_around(
    cells: Sequence[dict[str, int]],
    constraint: Constraint,
    volumes: Sequence[float],
    settings: SearchSettings,
    largest_generated: int,
    listed: Sequence[KnownStructure] = (),
) -> GivenCells:
    """The cells in which samples are drawn around what is given.

    Args:
        cells: Symbol -> atoms of every cell of the formula, smallest first.
        constraint: What is given.
        volumes: Usual volume of each element, angstrom^3 by atomic number.
        settings: Of the search.
        largest_generated: Atoms of the largest cell that is generated.
        listed: What the library has of the formula, lowest first.

    Returns:
        One cell in a given lattice, with a framework or without: of a lattice alone that of a listed structure which
        has it, else the one that fills it best. Those that a space group can hold otherwise.

    Raises:
        GivenStructureError: A lattice or a framework allows none.
    """
    if constraint.spacegroup is not None:
        return _cells_of_group(cells, constraint, largest_generated)
    if constraint.lattice is None:
        return GivenCells(fitting_cells(cells, constraint, volumes))
    own = _cell_of_listed(cells, constraint, constraint.lattice, listed)
    if own is not None:
        return GivenCells([own])
    if listed:  # how much room this compound takes is known better than from its elements
        usual = room_for(listed[0].crystal.composition, listed[0].crystal.lattice, volumes)
        volumes = [v * usual for v in volumes]
    chosen = fitting_cells(cells, constraint, volumes)
    _check_filling(chosen[0], constraint.lattice, volumes, settings)
    return GivenCells(chosen)


def _cell_of_listed(
    cells: Sequence[dict[str, int]],
    constraint: Constraint,
    lattice: NDArray[np.float64],
    listed: Sequence[KnownStructure],
) -> dict[str, int] | None:
    """What the given lattice holds of the listed structure that has this lattice at the nearest volume."""
    volume, found = abs(float(np.linalg.det(lattice))), []
    for known in listed:
        times = max(1, round(volume / known.crystal.volume))
        off = abs(float(np.log(volume / known.crystal.volume / times)))
        cell = {s: n * times for s, n in known.crystal.composition.items()}
        if off < NEAR_VOLUME and cell in cells:
            found.append((off, known.crystal, cell))
    nearest = sorted(found, key=lambda each: each[0])
    return next((cell for _, crystal, cell in nearest if onto_given(crystal, constraint, cell) is not None), None)


def _cells_of_group(cells: Sequence[dict[str, int]], constraint: Constraint, largest_generated: int) -> GivenCells:
    """A space group is tried in cells that the generator knows, and in the smallest of the formula."""
    limit = max(largest_generated, sum(cells[0].values()))
    small = [c for c in cells if sum(c.values()) <= limit]
    try:
        return GivenCells(fitting_cells(small, constraint))
    except GivenStructureError as error:
        larger = next((c for c in cells[len(small) :] if not without_sites(c, constraint)), None)
        if larger is not None:
            remedy = f"--generated-atoms {sum(larger.values())} generates a cell that has them"
        else:
            remedy = f"no cell of up to {sum(cells[-1].values())} atoms has them: give another space group"
        return GivenCells([], f"{error} ({remedy})")


def _check_filling(
    cell: dict[str, int], lattice: NDArray[np.float64], volumes: Sequence[float], settings: SearchSettings
) -> None:
    """Raises GivenStructureError where even the cell that comes nearest leaves a lattice far too empty or too full."""
    times, n_atoms = room_for(cell, lattice, volumes), sum(cell.values())
    if 1 / MOST_OFF <= times <= MOST_OFF:
        return
    unit = sum(parts_of(cell)[0].values())
    wanted = max(1, round(times * n_atoms / unit))  # formula units
    if times < 1 and n_atoms == unit:
        remedy = "give a larger lattice"
    elif wanted * unit > LARGEST_CELL:
        remedy = f"give a smaller lattice, as cells of more than {LARGEST_CELL} atoms are not searched"
    else:
        remedy = f"--max-atoms {wanted * unit} fills it" if settings.z == "auto" else f"--z {wanted} fills it"
    raise GivenStructureError(
        f"the given lattice has room for about {times * n_atoms:.0f} atoms, and the cell that comes nearest has "
        f"{n_atoms}: {remedy}"
    )


def known_around(
    listed: Sequence[KnownStructure], constraint: Constraint, cells: GivenCells
) -> list[tuple[KnownStructure, Crystal]]:
    """The library's structures that agree with what is given.

    Args:
        listed: All of the formula.
        constraint: What is given.
        cells: From `cells_around`.

    Returns:
        Each with its structure where the given lattice and atoms are, or as it is with a space group.
    """
    placed = [(k, _placed(k, constraint, cells)) for k in listed]
    return [(k, crystal) for k, crystal in placed if crystal is not None]


def _placed(known: KnownStructure, constraint: Constraint, cells: GivenCells) -> Crystal | None:
    if constraint.spacegroup is not None:
        return _in_group(known, constraint.spacegroup)
    cell = cells.cells[0]
    return onto_given(known.crystal, constraint, cell) if known.crystal.composition in parts_of(cell) else None


def _in_group(known: KnownStructure, number: int) -> Crystal | None:
    """The structure, or its mirror image, if it has at least that symmetry.

    Where only the tolerance of the library finds the symmetry, the structure is moved to have it.
    """
    own = known.crystal
    hands = (own, own.replace(frac_coords=-own.frac_coords))  # quartz is listed left-handed or right-handed
    try:
        found = next((c for c in hands if number in groups_within(spacegroup_number(c))), None)
        if found is not None or known.spacegroup_number is None or number not in groups_within(known.spacegroup_number):
            return found
        snapped = snap(own)
    except SymmetryError:
        return None
    return snapped.crystal if number in groups_within(snapped.after) else None


def suggested_around(constraint: Constraint, cell: dict[str, int], who: Suggesters) -> Suggested:
    """What templates and symmetry suggest in the given lattice and around given atoms.

    Args:
        constraint: A lattice or a framework.
        cell: Symbol -> atoms of it.
        who: What suggests.

    Returns:
        What fits, likeliest first, where it was given; the reason where nothing does.
    """
    suggested = suggest(parts_of(cell), who)
    brought = [(s, onto_given(s.crystal, constraint, cell)) for s in suggested.ranked]
    fitting = [replace(s, placed=crystal) for s, crystal in brought if crystal is not None]
    refused = list(suggested.refused)
    if suggested.ranked and not fitting and not who.known:
        n, kind = len(suggested.ranked), "lattice" if constraint.framework is None else "framework"
        refused.append(f"none of {n} structures that templates and symmetry suggest fits the given {kind}")
    return Suggested(fitting, refused)
