"""Which hulls an update touches, and the values of the rows under them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
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
from dao_core.crysdb.steps.quarantine import QUARANTINE, Quarantine, Quarantined, read_quarantine, write_quarantine
from dao_core.elements import atomic_number
from dao_core.hull.hull import Elements, Hull
from dao_core.hull.label import EnergyLabel
from dao_core.hull.references import ElementalReferences
from dao_core.hull.table import HULLS, current_hull_table, hull_table

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class LastHulls:
    """The hulls' phases and the quarantined rows as the last version left them; no table where it left none."""

    table: pa.Table | None
    quarantine: Quarantine

    @classmethod
    def read(cls, root: Path) -> LastHulls:
        """From the files beside the table."""
        import pyarrow.parquet as pq

        path = root / HULLS
        table = current_hull_table(pq.read_table(path)) if path.is_file() else None
        return cls(table, read_quarantine(root / QUARANTINE))

    def of(self, source: str, functional: str) -> tuple[pa.Table, Quarantine]:
        """The part of one source and functional."""
        import pyarrow.compute as pc

        assert self.table is not None
        own = pc.and_(pc.equal(self.table["source"], source), pc.equal(self.table["made_by"], functional))
        return self.table.filter(own), self.quarantined_of(source, functional)

    def quarantined_of(self, source: str, functional: str) -> Quarantine:
        """The quarantined rows of one source and functional."""
        return {k: q for k, q in self.quarantine.items() if (q.label.source, q.label.made_by) == (source, functional)}


@dataclass
class TouchedValues:
    """What is new.

    Attributes:
        by_id: (formation energy, hull distance) of the touched rows in eV/atom, None where unknown.
        hulls: Those that were made anew.
        same: Phases of the hulls that no change concerns, as they were.
        quarantine: All rows whose energy is not believed, of whichever hull.
        moved: Ids of rows that went into quarantine or came out of it.
    """

    by_id: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    hulls: list[Hull] = field(default_factory=list)
    same: list[pa.Table] = field(default_factory=list)
    quarantine: Quarantine = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)

    def write(self, directory: Path) -> None:
        """`hulls.parquet` and `quarantine.json` as a build leaves them."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.concat_tables([hull_table(self.hulls), *self.same])
        pq.write_table(table, directory / HULLS, compression="zstd")
        write_quarantine(directory / QUARANTINE, self.quarantine.values())


def touched_values(
    old: pa.Table, new: pa.Table, replaced: set[str], settings: HullSettings, last: LastHulls
) -> TouchedValues:
    """Compare hulls before and after a change and value what may differ.

    That is: the replaced rows themselves, rows of their chemical systems whose hull moved, rows of all systems that
    contain a moved one, and rows that went into quarantine or came out of it.

    Args:
        old: What the rows said to hulls at the last version (columns ENTRY_COLUMNS).
        new: What they say now.
        replaced: Ids of new, changed and gone rows.
        settings: How hulls are made.
        last: The hulls of the last version.
    """
    out = TouchedValues()
    ids = pa_strings(replaced)
    groups_old, groups_new = _groups(old), _groups(new)
    for name, table in groups_new.items():
        previous = groups_old.get(name)
        unchanged = previous is not None and not (_any_of(table, ids) or _any_of(previous, ids))
        if unchanged and last.table is not None:
            phases, quarantined = last.of(*name)
            out.same.append(phases)
            out.quarantine |= quarantined
            continue
        made = make_hull(table, settings)
        out.hulls.append(made.hull)
        out.quarantine |= made.quarantine
        moved = _moved_into_or_out_of(made.quarantine, last.quarantined_of(*name))
        out.moved |= {q.entry.id for q in moved}
        if any(len(q.entry.counts) == 1 for q in moved):  # perhaps another reference: every compound's energy moves
            rows = table
        else:
            touched = pa_strings(replaced | {q.entry.id for q in moved})
            rows = _touched_rows(previous, table, made.hull, touched, settings)
        if rows.num_rows:
            formation, above = hull_values(rows, made)
            for i, f, a in zip(rows["material_id"].to_pylist(), formation, above, strict=True):
                out.by_id[i] = (None if np.isnan(f) else float(f), None if np.isnan(a) else float(a))
    return out


def _moved_into_or_out_of(now: Quarantine, before: Quarantine) -> list[Quarantined]:
    """What is in one of two quarantines only."""
    return [{**now, **before}[name] for name in sorted(now.keys() ^ before.keys())]


def pa_strings(values: Iterable[str]) -> pa.Array:
    """Texts in order as an arrow array."""
    import pyarrow as pa

    return pa.array(sorted(values), type=pa.string())


def _any_of(table: pa.Table, ids: pa.Array) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.is_in(table["material_id"], value_set=ids)).as_py())


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
    return make_hull(rows, settings, label=label, zero=zero).hull


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
