"""A search in which part of the structure is given: a framework, a lattice or a space group, from a user's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from dao_core.crystal import Crystal
from dao_core.energy.relaxation.settings import RelaxSettings
from dao_core.readers.base import UnreadableError
from dao_core.readers.read import read_one

if TYPE_CHECKING:
    from dao_core.generate.constraints import Constraint

HELD, GIVEN = "held", "given"  # names in a candidate's provenance


class GivenStructureError(ValueError):
    """What is given cannot be read or does not fit; the message says what to do."""


class GivenStructure(BaseModel):
    """What every generated structure has in common. At most one of framework, lattice and space group."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    framework: Path | None = Field(None, description="file: its lattice and its atoms are kept, the rest is generated")
    keep: tuple[str, ...] = Field((), description="elements of the framework's file that are kept; default: all")
    lattice: Path | None = Field(None, description="file: only its lattice is kept")
    spacegroup: int | None = Field(None, ge=1, le=230, description="every structure has at least this symmetry")
    hold: bool = Field(True, description="keep what is given in the relaxation too")

    @property
    def active(self) -> bool:
        """Whether anything is given."""
        return self.framework is not None or self.lattice is not None or self.spacegroup is not None

    @property
    def kind(self) -> Literal["framework", "lattice", "space group", ""]:
        """What is given, in words."""
        if self.framework is not None:
            return "framework"
        return "lattice" if self.lattice is not None else "space group" if self.spacegroup is not None else ""

    def constraint(self) -> Constraint | None:
        """For the generator.

        Raises GivenStructureError where a file cannot be used, ConstraintError where two are given.
        """
        if not self.active:
            return None
        from dao_core.generate.constraints import Constraint

        framework = None if self.framework is None else _kept(_read(self.framework), self.keep, self.framework)
        lattice = None if self.lattice is None else _read(self.lattice).lattice
        return Constraint(framework=framework, lattice=lattice, spacegroup=self.spacegroup)

    def fingerprint(self) -> dict[str, Any]:
        """What a content key needs: the files by their content, not by their name."""
        if not self.active:
            return {}
        constraint = self.constraint()
        framework = None if constraint is None else constraint.framework
        cell = None if constraint is None else constraint.cell
        return {
            "spacegroup": self.spacegroup,
            "hold": self.hold,
            "lattice": None if cell is None else cell.tolist(),
            "atoms": None if framework is None else [framework.atomic_numbers.tolist(), framework.frac_coords.tolist()],
        }

    def relaxation(self, settings: RelaxSettings) -> RelaxSettings:
        """Settings of a relaxation that keeps what is given: the cell, or the space group."""
        if not (self.active and self.hold):
            return settings
        change = {"keep_symmetry": True} if self.spacegroup is not None else {"relax_cell": False}
        return settings.model_copy(update=change)


def _read(path: Path) -> Crystal:
    try:
        return read_one(path)
    except UnreadableError as error:
        raise GivenStructureError(str(error)) from error


def _kept(crystal: Crystal, elements: Sequence[str], path: Path) -> Crystal:
    if not elements:
        return crystal
    missing = [e for e in elements if e not in crystal.composition]
    if missing:
        raise GivenStructureError(
            f"{path} has no {', '.join(missing)} to keep: it holds {', '.join(crystal.composition)}"
        )
    rows = [i for i, s in enumerate(crystal.symbols) if s in elements]
    return crystal.replace(frac_coords=crystal.frac_coords[rows], atomic_numbers=crystal.atomic_numbers[rows])


def fitting_cells(
    cells: Sequence[dict[str, int]], constraint: Constraint, volumes: Sequence[float] | None = None
) -> list[dict[str, int]]:
    """The cells that what is given allows.

    A framework: the smallest cell that holds its atoms. A lattice: the cell whose atoms fill it best. A space group:
    those whose atoms find sites.

    Args:
        cells: Symbol -> atoms of each cell.
        constraint: What is given.
        volumes: Usual volume of each element, angstrom^3 by atomic number.

    Returns:
        Those that are allowed.

    Raises:
        GivenStructureError: None is.
    """
    from dao_core.generate.constraints import ConstraintError

    if constraint.framework is not None:
        foreign = sorted(set(constraint.framework.symbols) - set(cells[0]))
        if foreign:
            raise GivenStructureError(f"the formula has no {', '.join(foreign)}, which the framework holds")
        for cell in cells:
            try:
                constraint.numbers(cell)
            except ConstraintError as error:
                reason = str(error)
                continue
            return [cell]
        largest = sum(cells[-1].values())
        raise GivenStructureError(
            f"no cell of up to {largest} atoms holds the framework: give a larger --max-atoms, or keep less ({reason})"
        )
    if constraint.lattice is not None and volumes is not None:
        room = [room_for(cell, constraint.lattice, volumes) for cell in cells]
        return [min(zip(cells, room, strict=True), key=lambda pair: abs(np.log(pair[1])))[0]]
    reasons = [without_sites(cell, constraint) for cell in cells]
    fitting = [cell for cell, reason in zip(cells, reasons, strict=True) if not reason]
    if not fitting:
        raise GivenStructureError(reasons[-1])
    return fitting


def room_for(content: dict[str, int], lattice: NDArray[np.float64], volumes: Sequence[float]) -> float:
    """How many times some atoms at their usual volumes fill a lattice.

    Args:
        content: Symbol -> atoms.
        lattice: (3, 3), rows in angstrom.
        volumes: Usual volume of each element, angstrom^3 by atomic number.
    """
    from dao_core.elements import atomic_number

    return abs(float(np.linalg.det(lattice))) / sum(n * volumes[atomic_number(s)] for s, n in content.items())


def without_sites(cell: dict[str, int], constraint: Constraint) -> str:
    """Why a given space group has no sites for the atoms of a cell; empty where it has, or where none is given."""
    from dao_core.generate.symmetry.wyckoff_sites import SitesError

    try:
        constraint.plan(constraint.numbers(cell), seed=0)
    except SitesError as error:
        return str(error)
    return ""
