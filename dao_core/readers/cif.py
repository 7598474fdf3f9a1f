"""CIF text to structures: gemmi parses, our own checks decide whether the file means one crystal and no other.

A block is read if its symmetry is stated without contradiction, its sites are single, fully occupied elements with
positions, and the cell that they make has the composition, the number of formula units and the volume that the block
gives. Everything else is refused with the reason.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.elements import SYMBOLS
from dao_core.matching.distances import closer_than, distance_matrix
from dao_core.matching.same import same_crystal
from dao_core.readers.base import MIN_DISTANCE, UnreadableError
from dao_core.readers.cif_cut import check_end
from dao_core.readers.cif_expand import expand
from dao_core.readers.cif_formula import check_formula, check_mass, check_volume
from dao_core.readers.cif_kinds import refuse_other_kinds
from dao_core.readers.cif_multiplicity import multiplicity_differs
from dao_core.readers.cif_sites import (
    check_disorder,
    doubtful,
    has_cartesian_sites,
    has_sites,
    parse_number,
    read_sites,
)
from dao_core.readers.cif_symmetry import Group, symmetry_of

if TYPE_CHECKING:
    from gemmi.cif import Block

    from dao_core.readers.cif_sites import Site

CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
SAME_PLACE = 0.01  # angstrom
_TYPESET = re.compile("[\u00a0\u2007\u2009\u202f\u2212\u2010-\u2015\u2018\u2019\u201c\u201d\u2028\u2029]")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|#.*")


@dataclass(frozen=True)
class CifBlock:
    """One data block that lists atoms: its name, its structure or the reason why it has none, and notes."""

    name: str
    value: Crystal | str
    notes: tuple[str, ...] = ()


def read_cif(text: str) -> list[CifBlock]:
    """Every structure of a CIF text; blocks without a cell and atoms (a title, references) are passed over.

    Args:
        text: The content of a file.

    Returns:
        One entry a block, in order; the reason stands in place of a structure that is refused.

    Raises:
        UnreadableError: The text is not CIF, or none of its blocks lists atoms.
    """
    from gemmi import cif

    try:
        document = cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        raise UnreadableError(f"unreadable CIF: {_plain(error, text)}") from error
    blocks = [_read_block(block) for block in document if has_sites(block) or _mentions_cell(block)]
    if not blocks:
        raise UnreadableError("unreadable CIF: no block lists atom sites in fractional coordinates")
    check_end(text, document)
    if not list(document[-1]):
        blocks.append(CifBlock(document[-1].name, "a block's name and nothing below it: the file may be cut"))
    return blocks


def crystal_from_cif(text: str) -> Crystal:
    """The one structure of a CIF text.

    Raises:
        UnreadableError: The text holds none, one that is refused, or several.
    """
    return structure_from_cif(text)[0]


def structure_from_cif(text: str) -> tuple[Crystal, tuple[str, ...]]:
    """`crystal_from_cif`, and what was understood rather than read."""
    blocks = read_cif(text)
    if len(blocks) > 1:
        raise UnreadableError(f"{len(blocks)} structures in one CIF text: give one")
    if isinstance(blocks[0].value, str):
        raise UnreadableError(f"unreadable CIF: {blocks[0].value}")
    return blocks[0].value, blocks[0].notes


def _plain(error: Exception, cif: str) -> str:
    """The parser's message, with what to do."""
    typeset = _typeset_character(cif)
    if typeset is not None:
        return f"{typeset}, which CIF doesn't know: write plain blanks, minus signs and quotes"
    text = " ".join(re.sub(r"^string:(?=\d)", "line ", str(error)).removeprefix("string:").split())
    if "duplicate block name" in text:
        return f"{text}: rename one of the blocks, or remove it"
    if "duplicate tag" in text:
        return f"{text}: keep one of its values"
    return f"{text}; the file may be cut or damaged"


def _typeset_character(cif: str) -> str | None:
    """A character of word processors and web pages outside quotes, text fields and comments, and its line."""
    inside = False
    for number, line in enumerate(cif.split("\n"), start=1):
        if line.startswith(";"):
            inside = not inside
        elif not inside and (found := _TYPESET.search(_QUOTED.sub("", line))):
            return f"line {number} has a {unicodedata.name(found[0]).lower()}"
    return None


def _mentions_cell(block: Block) -> bool:
    return any(block.find_value(f"_cell{mark}length_a") is not None for mark in "_.")


def _read_block(block: Block) -> CifBlock:
    try:
        crystal, notes = _structure(block)
    except (UnreadableError, InvalidCrystalError) as error:
        return CifBlock(block.name, str(error))
    return CifBlock(block.name, crystal, tuple(notes))


def _structure(block: Block) -> tuple[Crystal, list[str]]:
    refuse_other_kinds(block)
    if not has_sites(block) and has_cartesian_sites(block):
        raise UnreadableError("atom sites in Cartesian coordinates: give fractional ones (_atom_site_fract_x)")
    if not has_sites(block):
        raise UnreadableError("a cell without atom sites in fractional coordinates: the file may be cut")
    lattice = _lattice(block)
    sites, notes = read_sites(block)
    symmetry = symmetry_of(block, lattice)
    made: list[tuple[Group, Crystal, list[str]]] = []
    reasons = []
    for group in symmetry.candidates:
        try:
            made.append((group, *_expanded(block, lattice, sites, group)))
        except (UnreadableError, InvalidCrystalError) as error:
            reasons.append(str(error))
    if not made:
        raise UnreadableError(reasons[0])
    group, crystal, more = made[0]
    others = [g.name for g, c, _ in made[1:] if not same_crystal(c, crystal)]
    if others:
        raise UnreadableError(
            f"{group.name} and {others[0]} both fit: name the origin or the axes, or list the operations"
        )
    if reasons:
        notes.append(f"read as {group.name}, the only setting that fits")
    return crystal, [*notes, *more]


def _lattice(block: Block) -> NDArray[np.float64]:
    """Lattice vectors (3, 3) as rows, a along x and b in the xy plane."""
    from gemmi import UnitCell, cif

    values = []
    for name in CELL:
        text = block.find_value(f"_cell_{name}") or block.find_value(f"_cell.{name}")
        if text is None or cif.is_null(text):
            raise UnreadableError(f"_cell_{name} is missing: the cell needs three lengths and three angles")
        value = parse_number(cif.as_string(text).strip())
        if not math.isfinite(value) or value <= 0:
            raise UnreadableError(f"_cell_{name} is {text}, which is no number above 0: write it plainly, as in 5.64")
        values.append(value)
    if any(angle >= 180 for angle in values[3:]):
        raise UnreadableError(f"cell angles {values[3:]}: an angle lies between 0 and 180 degrees")
    with np.errstate(all="ignore"):
        lattice = np.array(UnitCell(*values).orth.mat.tolist()).T
    if not np.isfinite(lattice).all() or abs(np.linalg.det(lattice)) < 1e-3:
        raise UnreadableError(f"lengths {values[:3]} and angles {values[3:]} make no cell: correct them")
    return lattice


def _expanded(block: Block, lattice: NDArray[np.float64], sites: list[Site], group: Group) -> tuple[Crystal, list[str]]:
    """The whole cell by one group's operations. Raises UnreadableError where it contradicts the block."""
    frac, owner, notes = expand(lattice, sites, group)
    crystal = Crystal(lattice, frac, np.array([sites[i].z for i in owner]))
    agreement = check_formula(block, crystal.composition)
    doubt = doubtful(sites)
    if doubt is not None and not agreement.proportions:
        raise UnreadableError(
            f"read {doubt}, which no formula confirms: give _chemical_formula_sum, or correct the site"
        )
    check_volume(block, crystal.volume)
    check_disorder(block, sites, len(group.rotations))
    notes += [*agreement.notes, *check_mass(block, crystal.composition, crystal.volume, agreement)]
    difference = multiplicity_differs(block, sites, np.bincount(owner, minlength=len(sites)), group)
    if difference is not None and not agreement.proportions:
        raise UnreadableError(f"{difference}: the position, the space group or that statement is wrong")
    notes += [] if difference is None else [difference]
    if closer_than(crystal.lattice, crystal.frac_coords, MIN_DISTANCE):
        raise UnreadableError(_closest(crystal, sites, owner))
    return crystal, notes


def _closest(crystal: Crystal, sites: list[Site], owner: list[int]) -> str:
    distances = distance_matrix(crystal.lattice, crystal.frac_coords)
    i, j = np.unravel_index(int(distances.argmin()), distances.shape)
    first, second = sites[owner[i]], sites[owner[j]]
    if distances[i, j] < SAME_PLACE and first is not second and first.z == second.z:
        return (
            f"{first.label} and {second.label} are the same atom: list it once, and where all atoms of the cell are "
            "listed, give 'P 1' as the space group"
        )
    names = [f"{sites[owner[k]].label} ({SYMBOLS[sites[owner[k]].z]})" for k in (i, j)]
    return (
        f"{names[0]} and {names[1]} are {distances[i, j]:.2f} A apart: a rounded position, disorder or a wrong setting"
    )
