"""How often each structure of a library was measured: chemists mean the form that they meet."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.library import element_source, mineral_source
from dao_core.matching.reduction import reduced_primitive
from dao_core.matching.same import same_reduced, without_hand

if TYPE_CHECKING:
    import pyarrow as pa

    from dao_core.matching.alignment import Cell

# Minerals, whose entries say at which temperature and pressure, and the stable form of each element: with nothing for
# it a rare stacking of graphite's layers is as likely as graphite.
MEASURED_SOURCES = (mineral_source.NAME, element_source.NAME)
STRUCTURE_COLUMNS = ("material_id", "formula_reduced", "spacegroup_number", "lattice", "frac_coords",
                     "atomic_numbers")  # fmt: skip
OLD_WITHIN = 0.03  # eV/atom above the hull: a calculation this low confirms a structure of before 1940


def measurements(structures: pa.Table, everything: pa.Table) -> tuple[list[int], list[str | None]]:
    """Of each structure the number of measurements at ordinary conditions that gave it, and the mineral's name.

    A measurement counts for every structure of its formula and space group that it matches, so that one that stands in
    the library more than once, as two calculations of it, counts the same each time. An old one counts only where a
    calculation puts the structure near the hull.

    Args:
        structures: STRUCTURE_COLUMNS and `e_above_hull` (eV/atom) of the library's distinct structures.
        everything: The same columns and `source` of all rows, duplicates among them.

    Returns:
        One number and one name a structure, in order; of several names the commonest, None where there is none. A
        mineral's name is given only to its own formula.
    """
    import pyarrow.compute as pc

    chosen = pc.is_in(everything["source"], value_set=_strings(MEASURED_SOURCES))
    measured: dict[tuple[Any, ...], list[tuple[str, Cell]]] = defaultdict(list)
    rows = everything.filter(chosen).select(["source", *STRUCTURE_COLUMNS]).to_pylist()
    own = _own_formulas(rows)
    for row in rows:
        counts_here = row["source"] == element_source.NAME or mineral_source.is_counted(row["material_id"])
        cell = _reduced(row) if counts_here else None
        if cell is not None:
            measured[_kind(row)].append((row["material_id"], cell))
    counts = [0] * structures.num_rows
    names: list[str | None] = [None] * structures.num_rows
    formulas = _strings({formula for formula, *_ in measured})
    asked = np.flatnonzero(pc.is_in(structures["formula_reduced"], value_set=formulas))
    columns = [*STRUCTURE_COLUMNS, "e_above_hull"]
    for i, row in zip(asked, structures.select(columns).take(asked).to_pylist(), strict=True):
        cell = _reduced(row) if _kind(row) in measured else None
        if cell is not None:
            confirmed = row["e_above_hull"] is not None and row["e_above_hull"] <= OLD_WITHIN
            possible = [(n, c) for n, c in measured[_kind(row)] if confirmed or not mineral_source.is_old(n)]
            found = [name for name, other in possible if same_reduced(cell, other)]
            named = (m for m in map(mineral_source.mineral_of, found) if m)
            minerals = Counter(m for m in named if own.get(m) == row["formula_reduced"])
            counts[i], names[i] = len(found), next((m for m, _ in minerals.most_common(1)), None)
    return counts, names


def _own_formulas(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The formula of each mineral: that of more than half of its entries.

    Synthetic relatives stand under a mineral's name too: LuPO4 is no more xenotime than CuAlO2 is delafossite.
    """
    formulas: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        mineral = mineral_source.mineral_of(row["material_id"])
        if mineral:
            formulas[mineral][row["formula_reduced"]] += 1
    commonest = {mineral: counts.most_common(1)[0] for mineral, counts in formulas.items()}
    return {m: f for m, (f, n) in commonest.items() if 2 * n > formulas[m].total()}


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
