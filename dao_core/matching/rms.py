"""One pair of structures compared as pymatgen's StructureMatcher compares them, without building its objects.

The values are those of `StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10).get_rms_dist(first, second)` (Ong et al.,
Comput. Mater. Sci. 68, 314 (2013)). Reductions are computed once a structure, and the search for a smaller cell is
skipped where the site counts rule it out; `dao_core.matching.alignment` does the rest on arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import gcd

import numpy as np

from dao_core.crystal import Crystal, wrap
from dao_core.matching.alignment import Cell, best_mapping
from dao_core.matching.same import LOOSE

BENCHMARK = LOOSE  # those of the published figures
PRIMITIVE_TOLERANCE = 0.25  # angstrom, pymatgen's


@dataclass(frozen=True)
class Comparison:
    """`rms` and `max_distance` in units of (V/N)^(1/3), None where there is no match; `reason` says at which step."""

    rms: float | None
    max_distance: float | None
    reason: str  # matched, composition, cell_size, lattice, sites


def reduce_crystal(crystal: Crystal) -> Cell:
    """The cell that the matcher compares."""
    from pymatgen.core import Lattice

    original = Lattice(crystal.lattice)
    niggli = original.get_niggli_reduced_lattice()
    matrix = np.array(niggli.matrix) if niggli != original else crystal.lattice
    frac = wrap(crystal.frac_coords @ crystal.lattice @ np.linalg.inv(matrix))
    reduced = Cell(matrix, frac, crystal.atomic_numbers)
    return _primitive(reduced) if _may_be_smaller(reduced) else reduced


def _may_be_smaller(cell: Cell) -> bool:
    """False where no translation inside the cell can map the structure on itself within the tolerance.

    pymatgen allows twice its tolerance for shifts measured from one site; those from another site can differ by as
    much again.
    """
    species, counts = np.unique(cell.numbers, return_counts=True)
    if gcd(*counts.tolist()) == 1:
        return False
    tolerance = 4 * PRIMITIVE_TOLERANCE / np.linalg.norm(cell.matrix, axis=1)
    sites = cell.frac[cell.numbers == species[counts.argmin()]]
    shifts = sites[1:] - sites[0]
    for z in species:
        group = cell.frac[cell.numbers == z]
        delta = group[None, :, None] + shifts[:, None, None] - group[None, None, :]  # (shifts, n, n, 3)
        delta -= np.round(delta)
        hit = (np.abs(delta) <= tolerance + 1e-9).all(axis=-1).any(axis=-1).all(axis=-1)
        shifts = shifts[hit]
        if len(shifts) == 0:
            return False
    return True


def _primitive(cell: Cell) -> Cell:
    structure = Crystal(cell.matrix, cell.frac, cell.numbers).to_pymatgen().get_primitive_structure(PRIMITIVE_TOLERANCE)
    numbers = np.array([site.specie.Z for site in structure])
    return Cell(np.array(structure.lattice.matrix), wrap(np.array(structure.frac_coords)), numbers)


def compare(first: Cell, second: Cell, deadline: float = math.inf) -> Comparison:
    """Root-mean-square and largest distance of the best mapping of `first` on `second`.

    Args:
        first: A cell made by `reduce_crystal`.
        second: Another one.
        deadline: On the clock of `time.monotonic`, in seconds.

    Returns:
        Both distances in units of (volume / atoms)^(1/3), or the reason why there is no mapping.

    Raises:
        TimeLimitError: The deadline has passed.
    """
    mapping = best_mapping(first, second, BENCHMARK, deadline=deadline)
    if isinstance(mapping, str):
        return Comparison(None, None, mapping)
    return Comparison(mapping.rms, mapping.max_distance, "matched")
