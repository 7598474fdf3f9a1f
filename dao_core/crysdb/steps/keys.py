"""The key columns of a CrysDB table, filled in by the symmetry analysis of each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.matching.structure_key import SYMPREC, Keys, keys_of

if TYPE_CHECKING:
    import pyarrow as pa


def key_columns(table: pa.Table, *, symprec: float = SYMPREC) -> pa.Table:
    """The table with spacegroup_number, structure_key and prototype_key filled in.

    Args:
        table: Rows of CrysDB with lattice, frac_coords, atomic_numbers, n_atoms and formula_reduced.
        symprec: Tolerance of the symmetry analysis in angstrom.

    Returns:
        A table of the same rows and columns.
    """
    import pyarrow as pa

    lattices = np.asarray(table["lattice"].combine_chunks().flatten()).reshape(-1, 3, 3)
    numbers = np.asarray(table["atomic_numbers"].combine_chunks().flatten()).astype(np.int64)
    frac = np.asarray(table["frac_coords"].combine_chunks().flatten()).reshape(-1, 3)
    ends = np.cumsum(np.asarray(table["n_atoms"]).astype(np.int64))
    keys: list[Keys] = []
    begin = 0
    formulas = table["formula_reduced"].to_pylist()
    for lattice, end, formula in zip(lattices, ends.tolist(), formulas, strict=True):
        keys.append(keys_of(lattice, frac[begin:end], numbers[begin:end], symprec=symprec, formula=formula))
        begin = end
    columns: dict[str, Sequence[Any]] = {
        "spacegroup_number": [k.spacegroup_number for k in keys],
        "structure_key": [k.structure_key for k in keys],
        "prototype_key": [k.prototype_key for k in keys],
    }
    for name, values in columns.items():
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, type=field.type))
    return table
