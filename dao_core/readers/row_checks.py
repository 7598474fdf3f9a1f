"""What a row says beside its structure: other coordinates and units must not contradict it, the rest is noted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import InvalidCrystalError, check_periodic
from dao_core.readers.base import UnreadableError
from dao_core.readers.species import DEUTERIUM

PLACES = ("coords", "cart_coords", "cartesian_coords", "positions", "cartesian_positions", "cartesian_site_positions")
SAME_PLACE = 0.05  # angstrom; between coordinates that are rounded in one list and not in the other
_UNITS = re.compile(r"(?:(?:length|distance|lattice|cell|coord\w*|pos\w*)_?)?units?(?:_?(?:length|of_length))?", re.I)
_NOT_ANGSTROM = re.compile(r"(?<![a-z])(?:bohrs?|a\.?u\.?|atomic|nm|nanomet\w+|pm|picomet\w+)(?![a-z])", re.I)
_OF_ENERGIES = re.compile(r"(?:\w+_)?(?:energy|forces?|stress|virial)_?units?", re.I)
_ELECTRONVOLTS = re.compile(r"\s*ev\s*(?:/\s*(?:atom|(?:a|å|ang\w*)\W*\d?)\W*)?", re.I)  # a stress in eV/A^3, too
FLAGS = {"T": True, "TRUE": True, "1": True, "F": False, "FALSE": False, "0": False}


def check_pbc(row: Mapping[str, Any]) -> None:
    """Raise UnreadableError where a row's structure isn't periodic in three directions, or it doesn't say so clearly.

    Args:
        row: Values by column; the flags stand under `pbc`, in any capitals, as a list or as text.
    """
    value = next((v for name, v in row.items() if str(name).lower() == "pbc" and v is not None), "")
    text = value if isinstance(value, str) else " ".join(map(str, np.ravel(value)))
    if not text.strip():
        return
    words = re.sub(r"[\[\](){},;]", " ", text).upper().split()
    if len(words) == 1 and re.fullmatch("[TF]{3}", words[0]):
        words = list(words[0])
    flags = [FLAGS[w] for w in words if w in FLAGS]
    if len(flags) != len(words) or len(flags) not in (1, 3):
        raise UnreadableError(f"pbc={text!r} are no three flags: write T T T for a crystal")
    try:
        check_periodic(flags * (3 // len(flags)))
    except InvalidCrystalError as error:
        raise UnreadableError(str(error)) from None


def check_energy_units(row: Mapping[str, Any]) -> None:
    """Raise UnreadableError where a row names a unit of energies, forces or stress other than eV and angstrom."""
    for name, value in row.items():
        if isinstance(value, str) and _OF_ENERGIES.fullmatch(str(name)) and not _ELECTRONVOLTS.fullmatch(value):
            raise UnreadableError(f"{name}={value!r}: energies are read in eV, lengths in angstrom, convert them")


def check_length_units(row: Mapping[str, Any]) -> None:
    """Raise UnreadableError where a row names a unit of length that is not the angstrom."""
    for name, value in row.items():
        if isinstance(value, str) and _UNITS.fullmatch(str(name)) and _NOT_ANGSTROM.search(value):
            raise UnreadableError(f"{name}={value!r}: lengths are read in angstrom, convert them")


def check_other_columns(
    row: Mapping[str, Any], used: str, lattice: NDArray[np.float64], frac: NDArray[np.float64]
) -> None:
    """Raise UnreadableError where other columns of a row hold other positions than those that are read from it.

    Args:
        row: Values by column.
        used: Name of the column that is read.
        lattice: Of the structure, (3, 3), rows in angstrom.
        frac: Its fractional coordinates, (N, 3).
    """
    for name in PLACES:
        other = None if name == used else _numbers(row.get(name))
        if other is None:
            continue
        if other.shape != frac.shape:
            raise UnreadableError(f"{name} has {len(other)} positions, {used} {len(frac)}: remove one")
        if not any(_same(away, lattice) for away in (other @ np.linalg.pinv(lattice) - frac, other - frac)):
            raise UnreadableError(f"{name} and {used} are two sets of positions: remove the wrong one")


def row_notes(row: Mapping[str, Any], species: tuple[str, ...]) -> tuple[str, ...]:
    """What is understood rather than read, or left aside, in a row's plain columns."""
    notes = []
    for name in species:
        value = row.get(name)
        if isinstance(value, list | tuple) and "D" in value:
            notes.append(DEUTERIUM)
    charge = row.get("charge")
    if isinstance(charge, int | float) and not isinstance(charge, bool) and abs(charge) > 1e-3:
        notes.append(f"charge {charge:g} left aside: crystals are neutral here")
    return tuple(dict.fromkeys(notes))


def _same(away: NDArray[np.float64], lattice: NDArray[np.float64]) -> bool:
    return bool((np.linalg.norm((away - np.rint(away)) @ lattice, axis=1) < SAME_PLACE).all())


def _numbers(value: Any) -> NDArray[np.float64] | None:
    """Positions (N, 3), None where a value is none."""
    if not isinstance(value, list | tuple | np.ndarray) or len(value) == 0:
        return None
    try:
        array = np.array([list(row) for row in value], dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return array if array.ndim == 2 and array.shape[1] == 3 and np.isfinite(array).all() else None
