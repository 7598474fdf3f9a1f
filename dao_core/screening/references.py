"""What a search is compared with: CrysDB's structures in its chemical systems, and a hull of its own potential."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dao_core.artifacts import content_key
from dao_core.energy.potential import Potential
from dao_core.energy.relax import RelaxationStatus, RelaxSettings, relax
from dao_core.screening.formulas import Formula, parse_formula
from dao_core.screening.hull import HullEntry, ReferenceHull
from dao_core.screening.novelty import NoveltyIndex

if TYPE_CHECKING:
    from dao_core.crysdb.schema import CrysRecord

NEAR_HULL = 0.1  # eV/atom: phases further above the database's hull are no competitors
RELAXATION = RelaxSettings(max_steps=60)


@dataclass(frozen=True)
class References:
    """Known structures, the hull, and the key of what both were made from; nothing where there is no database."""

    hull: ReferenceHull | None = None
    known: NoveltyIndex | None = None
    key: str = ""


def load_references(
    table: str | Path | None, formulas: Iterable[Formula | str], potential: Potential, *, version: int | None = None
) -> References:
    """References from a CrysDB table for some formulas. Raises TableError where the path holds no table."""
    if table is None:
        return References()
    from dao_core.crysdb.table import CrysTable

    crysdb = CrysTable(table)
    at = crysdb.version if version is None else version
    parsed = [parse_formula(f) if isinstance(f, str) else f for f in formulas]
    systems = [set(f.unit) for f in parsed]
    records = [r for r in crysdb.records("all", version=at) if any(set(r.chemsys.split("-")) <= s for s in systems)]
    if not records:
        return References(key=content_key(table=str(crysdb.path.resolve()), version=at))
    key = content_key(rows=sorted(r.material_id for r in records), path=str(crysdb.path.resolve()), version=at)
    return References(relaxed_hull(records, potential), NoveltyIndex(records), key)


def relaxed_hull(records: Sequence[CrysRecord], potential: Potential) -> ReferenceHull | None:
    """The competing phases relaxed with the search's own potential; None where the database has no phase near its hull.

    A phase whose relaxation was rejected is left out: it would lower the hull wrongly.
    """
    near = [r for r in records if r.e_above_hull is not None and r.e_above_hull <= NEAR_HULL]
    results = relax([r.crystal for r in near], potential, RELAXATION)
    kept = (RelaxationStatus.CONVERGED, RelaxationStatus.MAX_STEPS)
    entries = [
        HullEntry(r.material_id, r.crystal.composition, found.energy_per_atom)
        for r, found in zip(near, results, strict=True)
        if found.status in kept and found.energy_per_atom is not None
    ]
    return ReferenceHull(potential.identity, tuple(entries)) if entries else None
