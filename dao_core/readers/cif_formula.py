"""What a CIF block says about its composition and its size, against the structure that was read from it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from dao_core.readers.base import UnreadableError
from dao_core.readers.cif_sites import parse_number
from dao_core.readers.species import element_number

if TYPE_CHECKING:
    from gemmi.cif import Block

SUM = ("_chemical_formula_sum", "_chemical_formula.sum")
STRUCTURAL = ("_chemical_formula_structural",)
UNITS = ("_cell_formula_units_Z", "_cell.formula_units_Z", "_cell.Z_PDB")
VOLUME = ("_cell_volume", "_cell.volume")
SAME = 0.01  # relative, of volumes
LARGEST = 1e6  # of one element in a formula, and of formula units in a cell
ATOMS = 0.05  # counts of atoms in the cell agree exactly
_PART = re.compile(r"([A-Z][a-z]?)(\d+\.?\d*|\.\d+)?")
_WHOLE = re.compile(r"(?:[A-Z][a-z]?(?:\d+\.?\d*|\.\d+)?\s*)+")


def formula_counts(text: str) -> dict[str, float] | None:
    """Element -> number in a formula such as `Sr1 Ti1 O3`, D counted as H; None where it isn't one."""
    if _WHOLE.fullmatch(text) is None:
        return None
    counts: dict[str, float] = {}
    for symbol, number in _PART.findall(text):
        if element_number(symbol) is None:
            return None
        if number and float(number) > LARGEST:
            return None
        name = "H" if symbol == "D" else symbol
        counts[name] = counts.get(name, 0.0) + (float(number) if number else 1.0)
    return {s: n for s, n in counts.items() if n > 0}


def check_formula(block: Block, composition: dict[str, int]) -> bool:
    """Compare the cell's content with the formula and the number of formula units that the block gives.

    Args:
        block: One data block.
        composition: Symbol -> atoms in the cell.

    Returns:
        Whether a formula sum was there to compare with.

    Raises:
        UnreadableError: They contradict each other, or the formula sum can't be read.
    """
    text = _text(block, SUM)
    if text is None:
        structural = formula_counts(_text(block, STRUCTURAL) or "")
        if structural is not None and _ratio(structural, composition) is None:
            raise UnreadableError(_differs(composition, str(_text(block, STRUCTURAL)), "_chemical_formula_structural"))
        return False
    counts = formula_counts(text)
    if not counts:
        raise UnreadableError(f"_chemical_formula_sum {text!r} is no formula: correct it")
    ratio = _ratio(counts, composition)
    if ratio is None:
        raise UnreadableError(_differs(composition, text, "_chemical_formula_sum"))
    _check_units(block, counts, ratio, text)
    return True


def _check_units(block: Block, counts: dict[str, float], ratio: float, text: str) -> None:
    """`ratio` formula sums are in the cell; Z counts them, or smaller units where the sum is the whole cell's."""
    units = parse_number(_text(block, UNITS) or "?")
    size = sum(counts.values())
    if math.isnan(units) or units <= 0:  # some programs write 0 for half a molecule
        if abs(ratio - round(ratio)) * size > ATOMS or round(ratio) < 1:
            raise UnreadableError(f"{ratio:.3g} times {text!r} in the cell, which should be whole: the file may be cut")
        return
    if not 1 / LARGEST < units < LARGEST:
        raise UnreadableError(f"_cell_formula_units_Z {units:g} is no number of formula units: correct it")
    per_unit = [n / units for n in counts.values()]
    of_cell = abs(ratio - 1) * size <= ATOMS and all(abs(n - round(n)) <= ATOMS and round(n) > 0 for n in per_unit)
    if abs(ratio - units) * size > ATOMS and not of_cell:
        raise UnreadableError(f"{ratio:.3g} times {text!r} in the cell, _cell_formula_units_Z says {units:g}")


def check_volume(block: Block, volume: float) -> None:
    """Compare the volume that a block states with that of its cell.

    Args:
        block: A CIF block.
        volume: Of the cell that was read, angstrom^3.

    Raises:
        UnreadableError: The two differ.
    """
    text = _text(block, VOLUME)
    given = parse_number(text or "?")
    if not math.isnan(given) and abs(given - volume) > SAME * volume:
        raise UnreadableError(f"the cell has {volume:.4g} A^3, _cell_volume says {text}: correct the wrong one")


def _ratio(counts: dict[str, float], composition: dict[str, int]) -> float | None:
    """How many formulas a cell holds; None where the proportions differ."""
    if counts.keys() != composition.keys():
        return None
    ratio = sum(composition.values()) / sum(counts.values())
    allowed = [ATOMS + ratio * (0.0 if n == round(n) else 0.005) for n in counts.values()]  # decimals are rounded
    away = [abs(composition[s] - n * ratio) for s, n in counts.items()]
    return ratio if all(x <= limit for x, limit in zip(away, allowed, strict=True)) else None


def _differs(composition: dict[str, int], text: str, tag: str) -> str:
    cell = " ".join(f"{s}{n}" for s, n in composition.items())
    return f"the sites make {cell}, {tag} says {text!r}: atoms are missing or wrong"


def _text(block: Block, tags: tuple[str, ...]) -> str | None:
    from gemmi import cif

    for tag in tags:
        value = block.find_value(tag)
        if value is not None and not cif.is_null(value):
            text = " ".join(cif.as_string(value).split())
            if text:
                return text
    return None
