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
from dao_core.readers.species import DEUTERIUM, labelled_element, typed_element

if TYPE_CHECKING:
    from gemmi.cif import Block

SITE = "_atom_site_"
FARTHEST = 100.0  # cells; Cartesian coordinates under a wrong name come to mind
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
        numbers = [parse_number(column[i]) for column in coordinates]
        if any(math.isnan(x) for x in numbers):
            raise UnreadableError(f"site {name} has no position: an atom that was not located can't be left out")
        if any(abs(x) > FARTHEST for x in numbers):
            raise UnreadableError(f"site {name} lies {max(map(abs, numbers)):.3g} cells away: fractional coordinates?")
        rounding = [_rounding(column[i]) for column in coordinates]
        sites.append(Site(name, z, np.array(numbers), np.array(rounding), sure))
    _check_occupancy(block, sites)
    return sites, list(dict.fromkeys(notes))


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


def _rounding(text: str) -> float:
    """Half a unit of the last decimal; 0 for numbers of less than two decimals, which are meant as they stand."""
    decimals = text.partition("(")[0].partition(".")[2]
    return 0.5 * 10.0 ** -len(decimals) if len(decimals) >= 2 and decimals.isdigit() else 0.0


def _check_occupancy(block: Block, sites: list[Site]) -> None:
    for site, text in zip(sites, _column(block, "occupancy") or ["1"] * len(sites), strict=True):
        value = 1.0 if text == "." else parse_number(text)
        if not abs(value - 1.0) <= FULL:
            raise UnreadableError(
                f"site {site.label} is occupied to {text}, partially occupied: make an ordered approximation first"
            )
    for site, text in zip(sites, _column(block, "attached_hydrogens") or ["0"] * len(sites), strict=True):
        if text != "." and parse_number(text) != 0:
            raise UnreadableError(f"site {site.label} carries {text} hydrogens without positions: give their positions")
    for site, text in zip(sites, _column(block, "calc_flag") or ["."] * len(sites), strict=True):
        if text.lower() == "dum":
            raise UnreadableError(f"site {site.label} is a dummy, not an atom: remove it")


def doubtful(sites: list[Site]) -> str | None:
    """The first site whose element only a formula can confirm."""
    return next((f"{s.label} as {SYMBOLS[s.z]}" for s in sites if not s.sure), None)
