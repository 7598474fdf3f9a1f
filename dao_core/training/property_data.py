"""Structures with a scalar column, from a table on the disk, for fine-tuning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.energy.property import PropertyError
from dao_core.matching.distances import closer_than
from dao_core.readers.base import MIN_DISTANCE, Refusal, UnreadableError, naming
from dao_core.readers.plain_rows import StructureColumns, row_crystal
from dao_core.readers.read import named_rows

if TYPE_CHECKING:
    import pandas as pd

STRUCTURE = StructureColumns()


@dataclass(frozen=True)
class PropertyRows:
    """Usable rows: `crystals`, `labels` (M,) in the column's unit, `groups` their formulas; `refused` counts reasons.

    n_asked = len(crystals) + the sum of `refused`.
    """

    crystals: list[Crystal]
    labels: NDArray[np.float64]
    groups: list[str]
    refused: dict[str, int]


def read_property(path: Path, column: str, *, max_atoms: int = 200) -> PropertyRows:
    """Rows of a CrysDB table (a folder), or of a file that DAO reads: Parquet, CSV, JSON, extended xyz.

    Structures stand in `lattice` (9), `frac_coords` (3 N), `atomic_numbers` (N), or as CIF text in `cif`.

    Args:
        path: The file or folder.
        column: Name of the property.
        max_atoms: Larger cells are refused.

    Returns:
        The usable rows, and why others are not.

    Raises:
        PropertyError: The column or the structures are missing, or nothing usable is left.
    """
    if path.is_dir():
        from dao_core.crysdb.table import CrysTable

        return property_rows(CrysTable(path).read().to_pandas(), column, str(path), max_atoms=max_atoms)
    if not path.exists():
        raise PropertyError(f"{path} does not exist: give a CrysDB table, a Parquet or a CSV file")
    rows = [row for _, row in named_rows(path)]
    names = dict.fromkeys(name for row in rows for name in row.columns)
    if column not in names:
        first = rows[0].value
        if not names and isinstance(first, Refusal):
            raise PropertyError(naming(path, PropertyError(first.reason)))
        raise PropertyError(f"{path} has no column {column!r}: it has {', '.join(names)}")
    pairs = [(row.columns.get(column), row.value) for row in rows]
    return _usable(pairs, column, str(path), max_atoms)


def property_rows(frame: pd.DataFrame, column: str, name: str, *, max_atoms: int = 200) -> PropertyRows:
    """Rows of a table in memory, as `read_property` takes them from a file.

    Args:
        frame: Structures in `lattice` (9), `frac_coords` (3 N), `atomic_numbers` (N), or as CIF text, and the column.
        column: Name of the property.
        name: What the messages call the table.
        max_atoms: Larger cells are refused.

    Returns:
        The usable rows, and why others are not.

    Raises:
        PropertyError: The column or the structures are missing, or nothing usable is left.
    """
    if column not in frame:
        raise PropertyError(f"{name} has no column {column!r}: it has {', '.join(map(str, frame.columns))}")
    there = {str(c) for c in frame.columns}
    arrays = {STRUCTURE.lattice, STRUCTURE.frac_coords} <= there and there & set(STRUCTURE.species)
    if not arrays and not there & set(STRUCTURE.cif):
        raise PropertyError(f"{name} has no structures: give the columns lattice, frac_coords, atomic_numbers, or cif")
    pairs = ((row[column], _crystal(row)) for row in frame.to_dict("records"))
    return _usable(pairs, column, name, max_atoms)


def _usable(pairs: Iterable[tuple[Any, Crystal | Refusal]], column: str, name: str, max_atoms: int) -> PropertyRows:
    """What is left of values and structures, and why the others are not."""
    crystals: list[Crystal] = []
    kept: list[float] = []
    refused = Counter[str]()
    for value, crystal in pairs:
        try:
            label = float("nan") if value in (None, "") else float(value)
        except (TypeError, ValueError) as error:
            raise PropertyError(f"column {column!r} of {name} is not numeric: {error}") from error
        if not np.isfinite(label):
            refused["no value"] += 1
        elif isinstance(crystal, Refusal):
            refused[crystal.reason] += 1
        elif crystal.n_atoms > max_atoms:
            refused[f"more than {max_atoms} atoms"] += 1
        elif closer_than(crystal.lattice, crystal.frac_coords, MIN_DISTANCE):
            refused[f"two atoms closer than {MIN_DISTANCE} angstrom"] += 1
        else:
            crystals.append(crystal.niggli())
            kept.append(label)
    if not crystals:
        raise PropertyError(f"no usable row in {name}: {dict(refused)}")
    return PropertyRows(crystals, np.array(kept), [c.formula_reduced for c in crystals], dict(refused))


def _crystal(row: dict[Any, Any]) -> Crystal | Refusal:
    """The structure of a row of pandas, where a missing value is NaN, by the rules for files."""
    said = {str(name): value for name, value in row.items() if not (isinstance(value, float) and np.isnan(value))}
    try:
        return row_crystal(said, STRUCTURE)
    except (InvalidCrystalError, UnreadableError) as error:
        return Refusal("", str(error))
