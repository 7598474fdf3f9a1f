"""Rows of tables: which columns hold the structure, and strict numbers (true is not 1, 11.5 is no element)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.readers.base import UnreadableError
from dao_core.readers.row_checks import check_length_units, check_other_columns, check_pbc, row_notes
from dao_core.readers.species import plain_element

Arrays = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]
IDS = ("material_id", "id", "entry_id", "jid", "")


@dataclass(frozen=True)
class StructureColumns:
    """Names of the columns that hold a structure: CIF text, or lattice, coordinates and species (the first there)."""

    lattice: str = "lattice"
    frac_coords: str = "frac_coords"
    species: tuple[str, ...] = ("atomic_numbers", "species", "elements")
    cif: tuple[str, ...] = ("cif", "cif_string", "structure_cif")


def first_value(row: Mapping[str, Any], names: tuple[str, ...] | str | None) -> Any:
    """The first value of these columns that is there, None where none is."""
    for name in (names,) if isinstance(names, str) else names or ():
        value = row.get(name)
        if value is not None and not (isinstance(value, str) and not value.strip()):
            return value
    return None


def structure_arrays(row: Mapping[str, Any], columns: StructureColumns) -> Arrays:
    """Lattice (3, 3), fractional coordinates (N, 3) and atomic numbers (N,) of a row.

    Args:
        row: Values by column.
        columns: Which columns hold the structure.

    Raises:
        UnreadableError: A column is missing, or its content is no structure.
    """
    return arrays_and_notes(row, columns)[0]


def arrays_and_notes(row: Mapping[str, Any], columns: StructureColumns) -> tuple[Arrays, tuple[str, ...]]:
    """`structure_arrays`, and what was understood rather than read."""
    check_length_units(row)
    check_pbc(row)
    text = first_value(row, columns.cif)
    if text is not None:
        from dao_core.readers.cif import structure_from_cif

        if not isinstance(text, str):
            raise UnreadableError(f"the CIF column holds {type(text).__name__}, not text")
        crystal, notes = structure_from_cif(text)
        return (crystal.lattice, crystal.frac_coords, crystal.atomic_numbers), notes
    species = first_value(row, columns.species)
    missing = [n for n in (columns.lattice, columns.frac_coords) if row.get(n) is None]
    if species is None or missing:
        structure = (*columns.cif, columns.lattice, columns.frac_coords, *columns.species)
        if empty := [name for name in structure if name in row and first_value(row, name) is None]:
            raise UnreadableError(f"{' and '.join(empty)} empty in this row: fill it in, or remove the row")
        there = ", ".join(str(name) for name in row if "." not in str(name))[:120] or "none"
        raise UnreadableError(
            f"no {', '.join(missing) or ' or '.join(columns.species)} among the columns ({there}): name them so, or "
            "name the columns in the mapping of a CrysDB source"
        )
    numbers = species_numbers(species)
    lattice = real_array(columns.lattice, row[columns.lattice], (3, 3))
    frac = real_array(columns.frac_coords, row[columns.frac_coords], (len(numbers), 3))
    check_other_columns(row, columns.frac_coords, lattice, frac)
    _check_elements(row, columns.species, set(numbers.tolist()))
    return (lattice, frac, numbers), row_notes(row, columns.species)


def _check_elements(row: Mapping[str, Any], names: tuple[str, ...], found: set[int]) -> None:
    """Other columns of elements, of the sites or each once, must name the same ones."""
    for name in names:
        try:
            named = set() if row.get(name) is None else set(species_numbers(row[name]).tolist())
        except UnreadableError:
            continue
        if named and named != found:
            raise UnreadableError(f"{name} names other elements than the structure beside it: remove the wrong one")


def row_crystal(row: Mapping[str, Any], columns: StructureColumns) -> Crystal:
    """The structure of a row.

    Args:
        row: Values by column name.
        columns: Which columns hold the structure.

    Returns:
        The structure.

    Raises:
        UnreadableError: A column is missing or holds no numbers.
        InvalidCrystalError: The numbers are not a crystal.
    """
    return Crystal(*structure_arrays(row, columns))


def wrong_proportions(counts: Mapping[str, float], species: list[str]) -> bool:
    """Whether a formula has other proportions than a list of symbols, D counted as H."""
    words = ["H" if s == "D" else s for s in species]
    ratio = len(words) / sum(counts.values())
    return counts.keys() != set(words) or any(abs(words.count(s) - ratio * n) > 0.05 for s, n in counts.items())


def species_numbers(values: Any) -> NDArray[np.int64]:
    """Atomic numbers (N,) of a list of numbers or symbols. Raises UnreadableError for one that is no element."""
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise UnreadableError(f"{str(values)[:40]!r} is no list of elements")
    items = values.tolist() if isinstance(values, np.ndarray) else list(values)
    return np.array([_species(item) for item in items], dtype=np.int64)


def _species(item: Any) -> int:
    if isinstance(item, str):
        return plain_element(item)
    if isinstance(item, bool) or not isinstance(item, int | float) or not abs(item) < 1000 or item != item // 1:
        raise UnreadableError(f"{item!r} is no atomic number: give whole numbers or symbols")
    return int(item)


def real_array(name: str, values: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Numbers of a nested or flat list in a shape.

    Args:
        name: Of the column, for the message.
        values: The list.
        shape: What is expected.

    Returns:
        An array of that shape.

    Raises:
        UnreadableError: Something else than numbers stands there, or too few of them.
    """
    flat = (
        values.ravel() if isinstance(values, np.ndarray) and values.dtype.kind in "fiu" else list(_leaves(name, values))
    )
    if len(flat) != int(np.prod(shape)):
        raise UnreadableError(f"{name} has {len(flat)} numbers, expected {' x '.join(map(str, shape))}")
    return np.array(flat, dtype=np.float64).reshape(shape)


def _leaves(name: str, values: Any) -> Iterator[float]:
    if isinstance(values, str | bytes | bool | Mapping) or values is None:
        raise UnreadableError(f"{name}: {str(values)[:40]!r} is no number")
    if isinstance(values, int | float | np.number):
        try:
            yield float(values)
        except OverflowError:
            raise UnreadableError(f"{name} holds a number of {len(str(values))} digits: correct it") from None
        return
    try:
        items = iter(values)
    except TypeError:
        raise UnreadableError(f"{name}: {str(values)[:40]!r} is no number") from None
    for item in items:
        yield from _leaves(name, item)
