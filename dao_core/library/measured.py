"""How often each structure of a library was measured: chemists mean the form that they meet."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.library import mineral_source
from dao_core.matching.reduction import reduced_primitive
from dao_core.matching.same import same_reduced, without_hand

if TYPE_CHECKING:
    import pyarrow as pa

    from dao_core.matching.alignment import Cell

MEASURED_SOURCES = (mineral_source.NAME,)  # those that say at which temperature and pressure
STRUCTURE_COLUMNS = ("material_id", "formula_reduced", "spacegroup_number", "lattice", "frac_coords",
                     "atomic_numbers")  # fmt: skip


def measurements(structures: pa.Table, everything: pa.Table) -> tuple[list[int], list[str | None]]:
    """Of each structure the number of measurements at ordinary conditions that gave it, and the mineral's name.

    A measurement counts for every structure of its formula and space group that it matches, so that one that stands in
    the library more than once, as two calculations of it, counts the same each time.

    Args:
        structures: STRUCTURE_COLUMNS of the library's distinct structures.
        everything: The same columns and `source` of all rows, duplicates among them.

    Returns:
        One number and one name a structure, in order; of several names the commonest, None where there is none.
    """
    import pyarrow.compute as pc

    chosen = pc.is_in(everything["source"], value_set=_strings(MEASURED_SOURCES))
    measured: dict[tuple[Any, ...], list[tuple[str, Cell]]] = defaultdict(list)
    for row in everything.filter(chosen).select(list(STRUCTURE_COLUMNS)).to_pylist():
        cell = _reduced(row) if mineral_source.is_counted(row["material_id"]) else None
        if cell is not None:
            measured[_kind(row)].append((row["material_id"], cell))
    counts = [0] * structures.num_rows
    names: list[str | None] = [None] * structures.num_rows
    formulas = _strings({formula for formula, *_ in measured})
    asked = np.flatnonzero(pc.is_in(structures["formula_reduced"], value_set=formulas))
    for i, row in zip(asked, structures.select(list(STRUCTURE_COLUMNS)).take(asked).to_pylist(), strict=True):
        cell = _reduced(row) if _kind(row) in measured else None
        if cell is not None:
            found = [name for name, other in measured[_kind(row)] if same_reduced(cell, other)]
            minerals = Counter(m for m in map(mineral_source.mineral_of, found) if m)
            counts[i], names[i] = len(found), next((m for m, _ in minerals.most_common(1)), None)
    return counts, names


def _strings(values: Any) -> pa.Array:
    import pyarrow as pa

    return pa.array(sorted(values), pa.string())


def _kind(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["formula_reduced"], without_hand(row["spacegroup_number"])


def _reduced(row: dict[str, Any]) -> Cell | None:
    lattice, frac = np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3))
    try:
        return reduced_primitive(Crystal(lattice, frac, np.array(row["atomic_numbers"])))
    except InvalidCrystalError:
        return None
