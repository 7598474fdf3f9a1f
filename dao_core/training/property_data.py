"""Structures with a scalar column, from a table on the disk, for fine-tuning."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.energy.property import PropertyError
from dao_core.readers.cif import crystal_from_cif

if TYPE_CHECKING:
    import pandas as pd

ARRAYS = ("lattice", "frac_coords", "atomic_numbers")
CIF = ("cif", "structure_cif")


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
    """Rows of a CrysDB table (a folder), a Parquet or a CSV file.

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
    return property_rows(_frame(path), column, str(path), max_atoms=max_atoms)


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
    text = next((c for c in CIF if c in frame), None)
    if text is None and not set(ARRAYS) <= set(frame.columns):
        raise PropertyError(f"{name} has no structures: give the columns {', '.join(ARRAYS)}, or cif")
    try:
        values = frame[column].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PropertyError(f"column {column!r} of {name} is not numeric: {error}") from error
    crystals, kept, refused = [], [], Counter[str]()
    for row, value in zip(frame.to_dict("records"), values, strict=True):
        if not np.isfinite(value):
            refused["no value"] += 1
            continue
        try:
            crystal = _crystal(row, text)
        except (InvalidCrystalError, ValueError, TypeError):
            refused["no crystal"] += 1
            continue
        if crystal.n_atoms > max_atoms:
            refused[f"more than {max_atoms} atoms"] += 1
            continue
        crystals.append(crystal)
        kept.append(float(value))
    if not crystals:
        raise PropertyError(f"no usable row in {name}: {dict(refused)}")
    return PropertyRows(crystals, np.array(kept), [c.formula_reduced for c in crystals], dict(refused))


def _frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    if path.is_dir():
        from dao_core.crysdb.table import CrysTable

        return CrysTable(path).read().to_pandas()
    if not path.exists():
        raise PropertyError(f"{path} does not exist: give a CrysDB table, a Parquet or a CSV file")
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix == ".csv":
        return pd.read_csv(path)
    raise PropertyError(f"{path}: unknown ending {path.suffix!r}, expected .parquet, .csv or a table folder")


def _crystal(row: dict[Any, Any], text: str | None) -> Crystal:
    if text is not None:
        return crystal_from_cif(str(row[text])).niggli()
    return Crystal(
        np.reshape(np.concatenate([np.ravel(x) for x in np.ravel(row["lattice"])]), (3, 3)),
        np.reshape(np.asarray(row["frac_coords"], dtype=np.float64), (-1, 3)),
        np.asarray(row["atomic_numbers"], dtype=np.int64),
    ).niggli()
