"""What a wrong energy would have done: the rows of the table that it would have pushed from their place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.steps.quarantine import QUARANTINE, Quarantined, read_quarantine
from dao_core.crysdb.table import CrysTable
from dao_core.elements import SYMBOLS
from dao_core.hull.hull import Hull, count_atoms
from dao_core.hull.label import ForeignEnergyError
from dao_core.hull.table import HULLS, read_hull
from dao_core.units import STABLE_BELOW

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("material_id", "source", "functional", "atomic_numbers", "chemsys", "e_above_hull")


@dataclass(frozen=True)
class Displacement:
    """A quarantined energy and the ids of the rows that would be stable or published no more if it were believed."""

    quarantined: Quarantined
    ids: tuple[str, ...]


def displacements(root: Path, *, limit: int = 20) -> Iterator[Displacement]:
    """What each quarantined energy would have displaced.

    Args:
        root: The database's folder.
        limit: How many of them are worked out.
    """
    for quarantined in list(read_quarantine(root / QUARANTINE).values())[:limit]:
        yield Displacement(quarantined, tuple(_displaced(root, quarantined)))


def _displaced(root: Path, wrong: Quarantined) -> Iterator[str]:
    if not np.isfinite(wrong.entry.energy_per_atom):
        return
    try:
        hull = read_hull(root / HULLS, wrong.label)
    except (ForeignEnergyError, OSError):
        return  # nothing of this source and functional has a hull
    believed = _with(hull, wrong)
    rows = _concerned(CrysTable(root / "table"), wrong)
    moves: dict[tuple[tuple[int, int], ...], float] = {}
    for name, numbers, above in zip(*(rows[c].to_pylist() for c in ("material_id", "atomic_numbers", "e_above_hull")),
                                    strict=True):  # fmt: skip
        counts = count_atoms(numbers)
        key = tuple(counts.items())
        if key not in moves:
            moves[key] = hull.decompose(counts).energy_per_atom - believed.decompose(counts).energy_per_atom
        for border in (STABLE_BELOW, CleanSettings().max_e_above_hull):
            if above <= border < above + moves[key]:
                yield name
                break


def _with(hull: Hull, wrong: Quarantined) -> Hull:
    """The hull as it would be if a wrong energy were believed."""
    phases = [*hull.phases(), wrong.entry]
    references = [p for p in phases if len(p.counts) == 1]
    return Hull.from_entries(phases, hull.label, references=references)


def _concerned(table: CrysTable, wrong: Quarantined) -> pa.Table:
    """Rows with a distance to the same hull, in systems that hold all elements of the wrong one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    own = (pc.field("source") == wrong.label.source) & (pc.field("functional") == wrong.label.made_by)
    rows = table.read(list(COLUMNS), filters=own & pc.field("e_above_hull").is_valid())
    elements = {SYMBOLS[z] for z in wrong.entry.counts}
    inside = [elements <= set(system.split("-")) for system in rows["chemsys"].to_pylist()]
    return rows.filter(pa.array(inside, type=pa.bool_()))
