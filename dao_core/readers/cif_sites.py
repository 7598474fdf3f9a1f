"""The atom sites of a CIF block: elements, positions, full occupancy."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dao_core.elements import SYMBOLS
from dao_core.readers.base import UnreadableError
from dao_core.readers.species import DEUTERIUM, labelled_element, names_hydrogen, typed_element

if TYPE_CHECKING:
    from gemmi.cif import Block

SITE = "_atom_site_"
FARTHEST = 100.0  # cells; Cartesian coordinates under a wrong name come to mind
FAR = 0.75  # cells beyond the unit cell; molecules reach that far over its edge
FULL = 1e-3  # an occupancy this close to 1 is 1
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?:\(\d+\))?")


@dataclass(frozen=True)
class Site:
    """One listed site: `frac` (3,), `rounding` (3,) half a unit of each coordinate's last digit.

    `sure` is False where the spelling of the element leaves a doubt that a formula has to remove.
    """

    label: str
    z: int
    frac: NDArray[np.float64]
    rounding: NDArray[np.float64]
    sure: bool


def has_sites(block: Block) -> bool:
    """Whether a block lists atoms in fractional coordinates."""
    return bool(_column(block, "fract_x"))


def read_sites(block: Block) -> tuple[list[Site], list[str]]:
    """The sites of a block in the order of the file, and what was understood rather than read.

    Raises:
        UnreadableError: A site is no single element, has no position, or is not fully occupied.
    """
    coordinates = [_column(block, f"fract_{axis}") for axis in "xyz"]
    n = len(coordinates[0])
    if any(len(column) != n for column in coordinates):
        raise UnreadableError("some atom sites have fewer than three coordinates: the file may be cut")
    labels, types = _column(block, "label"), _column(block, "type_symbol")
    if len(labels) not in (0, n) or len(types) not in (0, n) or not (labels or types):
        raise UnreadableError("atom sites without label and type symbol: say which elements they are")
    sites, notes = [], []
    for i in range(n):
        name = labels[i] if labels else f"{types[i]} (site {i + 1})"
        if _is_deuterium(labels, types, i):
            notes.append(DEUTERIUM)
        z, sure = _element(labels[i] if labels else None, types[i] if types else None)
        numbers = [_coordinate(name, column[i]) for column in coordinates]
        if any(abs(x) > FARTHEST for x in numbers):
            raise UnreadableError(f"site {name} lies {max(map(abs, numbers)):.3g} cells away: fractional coordinates?")
        rounding = [_rounding(column[i]) for column in coordinates]
        sites.append(Site(name, z, np.array(numbers), np.array(rounding), sure))
    _check_occupancy(block, sites)
    _check_whole(block, sites)
    return sites, [*dict.fromkeys(notes), *_far_sites(sites)]


def has_cartesian_sites(block: Block) -> bool:
    """Whether a block lists atoms in Cartesian coordinates."""
    return bool(_column(block, "Cartn_x"))


def site_numbers(block: Block, name: str, n: int) -> list[float]:
    """A column of numbers beside the sites, NaN where a value is none; empty without such a column of `n` values."""
    values = _column(block, name)
    return [parse_number(v) for v in values] if len(values) == n else []


def site_words(block: Block, name: str, n: int) -> list[str]:
    """A column of words beside the sites, `.` where there is none; empty without such a column of `n` values."""
    values = _column(block, name)
    return values if len(values) == n else []


def _said_of_sites(block: Block, name: str, sites: list[Site], default: str) -> list[str]:
    """A column that decides whether the sites can be read; `default` for each where there is none."""
    values = _column(block, name) or [default] * len(sites)
    if len(values) != len(sites):
        raise UnreadableError(f"{SITE}{name} has {len(values)} values for {len(sites)} sites: the file may be damaged")
    return values


def _column(block: Block, name: str) -> list[str]:
    from gemmi import cif

    for tag in (SITE + name, f"_atom_site.{name}"):
        values = ["." if cif.is_null(v) else cif.as_string(v).strip() for v in block.find_values(tag)]
        if values:
            return values
    return []


def _is_deuterium(labels: list[str], types: list[str], i: int) -> bool:
    word = types[i] if types and types[i] != "." else labels[i] if labels else ""
    return re.fullmatch(r"D(?![a-z]).*", word) is not None


def _element(label: str | None, kind: str | None) -> tuple[int, bool]:
    """Atomic number by the type symbol, else by the label, and whether nothing speaks against it."""
    by_label = None if label is None else labelled_element(label)
    if kind is None or kind == ".":
        if by_label is None:
            raise UnreadableError(f"site label {label!r} is no single element: give _atom_site_type_symbol")
        return by_label, True
    z, sure = typed_element(kind)
    if z is None:
        raise UnreadableError(f"type symbol {kind!r} of site {label or kind!r} is no single element: correct it")
    return z, sure and by_label in (None, z)


def parse_number(text: str) -> float:
    """A CIF number, its uncertainty left aside; NaN where it is none."""
    if _NUMBER.fullmatch(text) is None:
        return math.nan
    return float(text.partition("(")[0])


def last_digit(text: str) -> float:
    """What one more in the last digit of a CIF number adds to it."""
    return 10.0 ** -len(text.partition("(")[0].partition(".")[2])


def _coordinate(name: str, text: str) -> float:
    if text == ".":
        raise UnreadableError(f"site {name} has no position: an atom that was not located can't be left out")
    value = parse_number(text)
    if math.isnan(value):
        raise UnreadableError(
            f"site {name} has the coordinate {text!r}, which is no number: write it with a decimal point, as in 0.5"
        )
    return value


def _far_sites(sites: list[Site]) -> list[str]:
    """A note where coordinates look like angstrom under the name of fractions."""
    values = np.array([s.frac for s in sites])
    if values.min() >= -FAR and values.max() <= 1 + FAR:
        return []
    return [f"coordinates from {values.min():g} to {values.max():g} read as fractions of the cell, not as angstrom"]


def _rounding(text: str) -> float:
    """Half a unit of the last decimal; 0 for numbers of less than two decimals, which are meant as they stand."""
    decimals = text.partition("(")[0].partition(".")[2]
    return 0.5 * 10.0 ** -len(decimals) if len(decimals) >= 2 and decimals.isdigit() else 0.0


def _check_occupancy(block: Block, sites: list[Site]) -> None:
    for site, text in zip(sites, _said_of_sites(block, "occupancy", sites, "1"), strict=True):
        value = 1.0 if text == "." else parse_number(text)
        if abs(value - 1.0) <= FULL:
            continue
        if 0 < value < 1:
            why = "partially occupied: make an ordered approximation first"
        elif value == 0:
            why = "an empty site: remove it"
        else:
            why = "which is no occupancy between 0 and 1: correct it"
        raise UnreadableError(f"site {site.label} is occupied to {text}, {why}")


def _check_whole(block: Block, sites: list[Site]) -> None:
    """Sites that stand for something else than one atom of their own."""
    for site, text in zip(sites, _said_of_sites(block, "attached_hydrogens", sites, "0"), strict=True):
        if text != "." and parse_number(text) != 0:
            raise UnreadableError(f"site {site.label} carries {text} hydrogens without positions: give their positions")
    for site, text in zip(sites, _said_of_sites(block, "calc_flag", sites, "."), strict=True):
        if text.lower() == "dum":
            raise UnreadableError(f"site {site.label} is a dummy, not an atom: remove it")


def check_disorder(block: Block, sites: list[Site], n_operations: int) -> None:
    """Raise UnreadableError where fully occupied sites are alternatives of one another (`_atom_site_disorder_group`).

    Args:
        block: One data block.
        sites: Of the block.
        n_operations: Of its space group: a negative group is an alternative to its own images.
    """
    groups = site_words(block, "disorder_group", len(sites))
    assemblies = site_words(block, "disorder_assembly", len(sites)) or ["."] * len(sites)
    first: dict[str, tuple[str, str]] = {}
    for site, group, assembly in zip(sites, groups, assemblies, strict=bool(groups)):
        if group in (".", "0"):
            continue
        other, label = first.setdefault(assembly, (group, site.label))
        if other != group:
            raise UnreadableError(
                f"sites {label} and {site.label} are alternatives (disorder groups {other} and {group}): keep one group"
            )
        if group.startswith("-") and n_operations > 1:
            raise UnreadableError(
                f"site {site.label} is disordered about a symmetry element (disorder group {group}): "
                "make an ordered approximation first"
            )


def doubtful(sites: list[Site]) -> str | None:
    """The first site whose element, or whose lack of hydrogen, only a formula can confirm."""
    if all(s.z != 1 for s in sites):
        water = next((s for s in sites if names_hydrogen(s.label)), None)
        if water is not None:
            return f"{water.label} as {SYMBOLS[water.z]} without its hydrogen"
    return next((f"{s.label} as {SYMBOLS[s.z]}" for s in sites if not s.sure), None)
