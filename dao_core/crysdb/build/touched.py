"""Which hulls an update touches, and the values of the rows under them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dao_core.crysdb.steps.energies import (
    HullSettings,
    by_functional,
    choose_label,
    elements_at_zero,
    hull_values,
    make_hull,
)
from dao_core.elements import atomic_number
from dao_core.hull.hull import Elements, Hull
from dao_core.hull.label import EnergyLabel
from dao_core.hull.references import ElementalReferences
from dao_core.hull.table import hull_table

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class TouchedValues:
    """New (formation energy, hull distance) by id, None where unknown, and all hulls as they are now."""

    by_id: dict[str, tuple[float | None, float | None]]
    hulls: list[Hull]
    same: list[pa.Table]  # entries of the hulls that no change concerns, as they were

    def write_hulls(self, path: Path) -> None:
        """`hulls.parquet` as a build leaves it."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.concat_tables([hull_table(self.hulls), *self.same]), path, compression="zstd")


def touched_values(
    old: pa.Table, new: pa.Table, replaced: set[str], settings: HullSettings, hulls: pa.Table | None = None
) -> TouchedValues:
    """Compare the hulls of `old` and `new` entries and value what may differ.

    That is: the `replaced` rows themselves, rows of their chemical systems whose hull moved, and rows of all systems
    that contain a moved one. `hulls` are the entries of all hulls as the last version left them.
    """
    by_id: dict[str, tuple[float | None, float | None]] = {}
    made: list[Hull] = []
    same: list[pa.Table] = []
    ids = pa_strings(replaced)
    groups_old, groups_new = _groups(old), _groups(new)
    for name, table in groups_new.items():
        previous = groups_old.get(name)
        unchanged = previous is not None and not (_any_of(table, ids) or _any_of(previous, ids))
        if unchanged and hulls is not None:
            same.append(_hulls_of(hulls, *name))
            continue
        hull = make_hull(table, settings)
        made.append(hull)
        rows = _touched_rows(previous, table, hull, ids, settings)
        if rows.num_rows:
            formation, above = hull_values(rows, hull)
            for i, f, a in zip(rows["material_id"].to_pylist(), formation, above, strict=True):
                by_id[i] = (None if np.isnan(f) else float(f), None if np.isnan(a) else float(a))
    return TouchedValues(by_id, made, same)


def pa_strings(values: Iterable[str]) -> pa.Array:
    """Texts in order as an arrow array."""
    import pyarrow as pa

    return pa.array(sorted(values), type=pa.string())


def _any_of(table: pa.Table, ids: pa.Array) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.is_in(table["material_id"], value_set=ids)).as_py())


def _hulls_of(hulls: pa.Table, source: str, functional: str) -> pa.Table:
    """The phases of the hulls of one source and functional."""
    import pyarrow.compute as pc

    return hulls.filter(pc.and_(pc.equal(hulls["source"], source), pc.equal(hulls["made_by"], functional)))


def _groups(entries: pa.Table) -> dict[tuple[str, str], pa.Table]:
    """Entries by source and functional."""
    import pyarrow as pa

    return {(s, f): entries.take(pa.array(rows)) for s, f, rows in by_functional(entries)}


def _touched_rows(
    before: pa.Table | None, table: pa.Table, hull: Hull, ids: pa.Array, settings: HullSettings
) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    if before is None:
        return table
    own = pc.is_in(table["material_id"], value_set=ids)
    removed = before.filter(pc.is_in(before["material_id"], value_set=ids))
    if not pc.any(own).as_py() and removed.num_rows == 0:
        return table.slice(0, 0)
    zero = elements_at_zero(before, settings)
    if choose_label(before, settings) != hull.label or zero != elements_at_zero(table, settings):
        return table
    names = pc.unique(pa.concat_tables([table.filter(own), removed])["chemsys"]).to_pylist()
    changed = {_elements(name) for name in names}
    moved = _moved(_hull_below(before, changed, settings, hull.label, zero), hull, changed)
    systems = pc.unique(table["chemsys"]).to_pylist()
    hit = pa.array([s for s in systems if _contains(_elements(s), moved)], type=pa.string())
    return table.filter(pc.or_(own, pc.is_in(table["chemsys"], value_set=hit)))


def _hull_below(
    before: pa.Table, systems: set[Elements], settings: HullSettings, label: EnergyLabel, zero: bool
) -> Hull:
    """The hull of these chemical systems as it was: from their own rows and those of their subsystems alone."""
    import pyarrow as pa
    import pyarrow.compute as pc

    inside = {part for s in systems for size in range(1, len(s) + 1) for part in combinations(s, size)}
    names = [name for name in pc.unique(before["chemsys"]).to_pylist() if _elements(name) in inside]
    rows = before.filter(pc.is_in(before["chemsys"], value_set=pa.array(names, type=pa.string())))
    if rows.num_rows == 0:
        return Hull(ElementalReferences(label))
    return make_hull(rows, settings, label=label, zero=zero)


@lru_cache(maxsize=1_000_000)
def _elements(chemsys: str) -> Elements:
    return tuple(sorted(atomic_number(s) for s in chemsys.split("-")))


def _moved(old: Hull, new: Hull, systems: Iterable[Elements]) -> set[Elements]:
    """Of these systems, the ones whose own hull is another one now; an element counts when its reference changed."""
    systems = list(systems)
    elements = {z for s in systems for z in s
                if old.references.energies.get(z) != new.references.energies.get(z)}  # fmt: skip
    moved: set[Elements] = {(z,) for z in elements}
    for system in systems:
        a, b = old.system(system), new.system(system)
        if (a is None) != (b is None) or (a and b and sorted(a.vertices) != sorted(b.vertices)):
            moved.add(system)
    return moved


def _contains(elements: Elements, moved: set[Elements]) -> bool:
    return any(subset in moved for size in range(1, len(elements) + 1) for subset in combinations(elements, size))
