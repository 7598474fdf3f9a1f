"""Which hulls an update touches, and the values of the rows under them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dao_core.crysdb.energies import HullSettings, hull_entry_table, hull_values, make_hull
from dao_core.crysdb.hull import HullSet
from dao_core.elements import atomic_number

if TYPE_CHECKING:
    import pyarrow as pa

Elements = tuple[int, ...]


@dataclass(frozen=True)
class TouchedValues:
    """New (formation energy, hull distance) by id, None where unknown, and all hulls as they are now."""

    by_id: dict[str, tuple[float | None, float | None]]
    hulls: list[HullSet]

    def write_hulls(self, path: Path) -> None:
        """`hulls.parquet` as a build leaves it."""
        import pyarrow.parquet as pq

        pq.write_table(hull_entry_table(self.hulls), path, compression="zstd")


def touched_values(old: pa.Table, new: pa.Table, replaced: set[str], settings: HullSettings) -> TouchedValues:
    """Compare the hulls of `old` and `new` entries and value what may differ.

    That is: the `replaced` rows themselves, rows of their chemical systems whose hull moved, and rows of all systems
    that contain a moved one.
    """
    by_id: dict[str, tuple[float | None, float | None]] = {}
    hulls: list[HullSet] = []
    groups_old, groups_new = _groups(old), _groups(new)
    for name, table in groups_new.items():
        hull, kind = make_hull(table, settings)
        hulls.append(hull)
        previous = groups_old.get(name)
        rows = _touched_rows(previous, table, hull, kind, replaced, settings)
        if rows.num_rows:
            formation, above = hull_values(rows, hull, kind)
            for i, f, a in zip(rows["material_id"].to_pylist(), formation, above, strict=True):
                by_id[i] = (None if np.isnan(f) else float(f), None if np.isnan(a) else float(a))
    return TouchedValues(by_id, hulls)


def _groups(entries: pa.Table) -> dict[str, pa.Table]:
    """Entries by source and functional."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if entries.num_rows == 0:
        return {}
    labels = pc.binary_join_element_wise(entries["source"], entries["functional"], "|").combine_chunks()
    coded = labels.dictionary_encode()
    codes = np.asarray(coded.indices)
    names = coded.dictionary.to_pylist()
    return {names[c]: entries.take(pa.array(np.flatnonzero(codes == c))) for c in range(len(names))}


def _touched_rows(
    before: pa.Table | None, table: pa.Table, hull: HullSet, kind: str, replaced: set[str], settings: HullSettings
) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    if before is None:
        return table
    ids = pa.array(sorted(replaced), type=pa.string())
    own = pc.is_in(table["material_id"], value_set=ids)
    removed = before.filter(pc.is_in(before["material_id"], value_set=ids))
    if not pc.any(own).as_py() and removed.num_rows == 0:
        return table.slice(0, 0)
    old_hull, old_kind = make_hull(before, settings)
    if old_kind != kind:
        return table
    changed = pc.unique(pa.concat_tables([table.filter(own), removed])["chemsys"]).to_pylist()
    moved = _moved(old_hull, hull, {_elements(c) for c in changed})
    systems = pc.unique(table["chemsys"]).to_pylist()
    hit = pa.array([s for s in systems if _contains(_elements(s), moved)], type=pa.string())
    return table.filter(pc.or_(own, pc.is_in(table["chemsys"], value_set=hit)))


def _elements(chemsys: str) -> Elements:
    return tuple(sorted(atomic_number(s) for s in chemsys.split("-")))


def _moved(old: HullSet, new: HullSet, systems: Iterable[Elements]) -> set[Elements]:
    """Of these systems, the ones whose own hull is another one now; an element counts when its reference changed."""
    elements = {z for z in {*old.references.energies, *new.references.energies}
                if old.references.energies.get(z) != new.references.energies.get(z)}  # fmt: skip
    moved: set[Elements] = {(z,) for z in elements}
    for system in systems:
        a, b = old.system(system), new.system(system)
        if (a is None) != (b is None) or (a and b and sorted(a.vertices) != sorted(b.vertices)):
            moved.add(system)
    return moved


def _contains(elements: Elements, moved: set[Elements]) -> bool:
    return any(subset in moved for size in range(1, len(elements) + 1) for subset in combinations(elements, size))
