"""What a CIF block says about its composition and its size, against the structure that was read from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dao_core.readers.base import UnreadableError
from dao_core.readers.cif_sites import last_digit, parse_number
from dao_core.readers.formula_text import LARGEST, formula_counts, grouped_counts, without_group_names

if TYPE_CHECKING:
    from gemmi.cif import Block

SUM = ("_chemical_formula_sum", "_chemical_formula.sum")
WRITTEN = (
    "_chemical_formula_structural", "_chemical_formula_moiety", "_chemical_formula_iupac",
    "_chemical_formula.structural", "_chemical_formula.moiety", "_chemical_formula.iupac",
)  # fmt: skip
WEIGHT = ("_chemical_formula_weight", "_chemical_formula.weight")
DENSITY = ("_exptl_crystal_density_diffrn", "_exptl_crystal.density_diffrn")
UNITS = ("_cell_formula_units_Z", "_cell.formula_units_Z", "_cell.Z_PDB")
VOLUME = ("_cell_volume", "_cell.volume")
SAME = 0.01  # relative, of volumes
ATOMS = 0.05  # counts of atoms in the cell agree exactly
WEIGHTS = 0.002  # relative; tables of atomic weights agree better
DENSITIES = 0.03  # relative; cells of two temperatures
DALTON = 1.66053907  # g/cm^3 of one dalton/angstrom^3
SYNTHETIC = {"Tc", "Pm", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Pa", "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm"}


@dataclass(frozen=True)
class Agreement:
    """Whether a formula sum confirms the proportions of a structure, and notes on what that outvotes."""

    proportions: bool
    notes: tuple[str, ...] = ()


def check_formula(block: Block, composition: dict[str, int]) -> Agreement:
    """Compare the cell's content with the formulas and the number of formula units that the block gives.

    Without a formula sum every other formula must fit. A sum that fits outvotes them, which a note says; but elements
    that another formula has and the cell lacks (the hydrogens of its water) are always refused.

    Args:
        block: One data block.
        composition: Symbol -> atoms in the cell.

    Returns:
        What is confirmed.

    Raises:
        UnreadableError: They contradict each other, or the formula sum can't be read.
    """
    text = _text(block, SUM)
    units = parse_number(_text(block, UNITS) or "?")
    if text is None:
        _check_units_alone(units, composition)
    else:
        counts = formula_counts(text)
        if not counts:
            raise UnreadableError(f"_chemical_formula_sum {text!r} is no formula: correct it")
        ratio = _ratio(counts, composition)
        if ratio is None:
            raise UnreadableError(_differs(composition, text, "_chemical_formula_sum"))
        _check_units(units, counts, ratio, text)
    notes = _check_written(block, composition, confirmed=text is not None)
    return Agreement(text is not None, notes)


def _check_written(block: Block, composition: dict[str, int], *, confirmed: bool) -> tuple[str, ...]:
    """The formulas that people write beside the sum."""
    notes = []
    for tag in WRITTEN:
        text = _text(block, (tag,))
        counts = None if text is None else grouped_counts(text)
        if text is None or counts is None or not without_group_names(counts, set(composition)):
            continue
        if _ratio(counts, composition) is not None:
            continue
        if not confirmed or not counts.keys() <= composition.keys():
            raise UnreadableError(_differs(composition, text, tag))
        notes.append(f"{tag} says {text!r}, the formula sum and the sites say otherwise")
    return tuple(notes)


def _check_units_alone(units: float, composition: dict[str, int]) -> None:
    """Without a formula to count, Z must divide the cell's atoms, up to the half of a hydrate's formula."""
    if math.isnan(units) or units <= 0:
        return
    _check_range(units)
    halves = [2.0 * n / units for n in composition.values()]
    whole = [abs(n - round(n)) <= ATOMS and round(n) > 0 for n in halves]
    if not all(whole) or all(round(n) % 2 for n in halves):
        cell = _listed(composition)
        raise UnreadableError(
            f"the sites make {cell}, which is no {units:g} formula units (_cell_formula_units_Z): correct the wrong one"
        )


def _check_range(units: float) -> None:
    if not 1 / LARGEST < units < LARGEST:
        raise UnreadableError(f"_cell_formula_units_Z {units:g} is no number of formula units: correct it")


def _check_units(units: float, counts: dict[str, float], ratio: float, text: str) -> None:
    """`ratio` formula sums are in the cell; Z counts them, or smaller units where the sum is the whole cell's."""
    size = sum(counts.values())
    if math.isnan(units) or units <= 0:  # some programs write 0 for half a molecule
        if abs(ratio - round(ratio)) * size > ATOMS or round(ratio) < 1:
            raise UnreadableError(f"{ratio:.3g} times {text!r} in the cell, which should be whole: the file may be cut")
        return
    _check_range(units)
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


def check_mass(block: Block, composition: dict[str, int], volume: float, agreement: Agreement) -> list[str]:
    """Compare the weight of a formula unit and the density that a block states with those of its cell.

    Args:
        block: A CIF block.
        composition: Symbol -> atoms in the cell.
        volume: Of the cell, angstrom^3.
        agreement: Of `check_formula`: a confirmed formula outvotes weight and density.

    Returns:
        Notes on what is outvoted.

    Raises:
        UnreadableError: They differ, and no formula sum says which is right.
    """
    if composition.keys() & SYNTHETIC:  # of these every table takes another isotope
        return []
    from gemmi import Element

    mass = sum(n * Element(symbol).weight for symbol, n in composition.items())
    found = [_weight_differs(block, mass), _density_differs(block, DALTON * mass / volume)]
    differences = [text for text in found if text is not None]
    if differences and not agreement.proportions:
        raise UnreadableError(f"{differences[0]}: atoms are missing, or the statement is wrong")
    return differences


def _weight_differs(block: Block, mass: float) -> str | None:
    text = _text(block, WEIGHT)
    given = parse_number(text or "?")
    if math.isnan(given) or given < 1:
        return None
    units = parse_number(_text(block, UNITS) or "?")
    in_cell = mass / given
    wanted = units if units > 0 else max(1.0, round(in_cell))
    if abs(in_cell - wanted) <= wanted * (WEIGHTS + last_digit(str(text)) / given):
        return None
    return f"the cell weighs {mass:.5g}, which is {in_cell:.3g} times the _chemical_formula_weight {text}"


def _density_differs(block: Block, density: float) -> str | None:
    text = _text(block, DENSITY)
    given = parse_number(text or "?")
    if math.isnan(given) or given <= 0:
        return None
    scale = 1000.0 if given > 100 else 1.0  # kg/m^3
    if abs(given / scale - density) <= DENSITIES * density + last_digit(str(text)) / scale:
        return None
    return f"the sites have a density of {density:.3f} g/cm^3, _exptl_crystal_density_diffrn says {text}"


def _ratio(counts: dict[str, float], composition: dict[str, int]) -> float | None:
    """How many formulas a cell holds; None where the proportions differ."""
    if counts.keys() != composition.keys():
        return None
    ratio = sum(composition.values()) / sum(counts.values())
    allowed = [ATOMS + ratio * (0.0 if n == round(n) else 0.005) for n in counts.values()]  # decimals are rounded
    away = [abs(composition[s] - n * ratio) for s, n in counts.items()]
    return ratio if all(x <= limit for x, limit in zip(away, allowed, strict=True)) else None


def _differs(composition: dict[str, int], text: str, tag: str) -> str:
    return f"the sites make {_listed(composition)}, {tag} says {text!r}: atoms are missing or wrong"


def _listed(composition: dict[str, int]) -> str:
    return " ".join(f"{s}{n}" for s, n in composition.items())


def _text(block: Block, tags: tuple[str, ...]) -> str | None:
    from gemmi import cif

    for tag in tags:
        value = block.find_value(tag)
        if value is not None and not cif.is_null(value):
            text = " ".join(cif.as_string(value).split())
            if text:
                return text
    return None
