"""`update`: only new and changed rows are standardised and keyed; hulls and buckets only where they touch.

The result is the table that a build of all rows would publish. What is touched: a changed row's own chemical system;
every system that contains it if its hull moved (a vertex or a reference is another one); the buckets of its old and
its new structure key.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao_core.artifacts import Ledger, StageRecord, content_key, write_atomic
from dao_core.code_version import code_version
from dao_core.crysdb.build.assemble import is_far
from dao_core.crysdb.build.build import REPORT, check_sources, publish_hulls, settings_key
from dao_core.crysdb.build.changes import WHOLE, Changes, Reading, find_changes
from dao_core.crysdb.build.ingest import ROWS
from dao_core.crysdb.build.stages import LEAK_COLUMNS, benchmark_stage, load_benchmarks
from dao_core.crysdb.build.state import ASIDE, ENTRIES, State, UpdateError, read_state, write_state
from dao_core.crysdb.build.touched import LastHulls, TouchedValues, pa_strings, touched_values
from dao_core.crysdb.config import BuildConfig, sources_of
from dao_core.crysdb.schema import conform
from dao_core.crysdb.sources.base import Source
from dao_core.crysdb.sources.records import with_fed_back
from dao_core.crysdb.steps.dedup import DEDUP_COLUMNS, STRUCTURE_COLUMNS, buckets_of, duplicates, members_of
from dao_core.crysdb.steps.energies import known_distance
from dao_core.crysdb.steps.leakage import audit
from dao_core.crysdb.table import CrysTable
from dao_core.matching.same import Member
from dao_core.units import STABLE_BELOW

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class UpdateReport:
    """What an update did. `n_in` rows were read; of them `n_same` were known; `n_refused` were broken."""

    version: int
    n_in: int
    n_same: int
    n_new: int
    n_changed: int
    n_gone: int
    n_refused: int
    n_revalued: int  # unchanged rows whose hull distance or duplicate moved
    n_written: int
    n_deleted: int
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)


def update(
    config: BuildConfig,
    root: str | Path,
    *,
    sources: Sequence[Source] | None = None,
    reading: Reading = WHOLE,
    log: Callable[[str], None] = lambda _: None,
) -> UpdateReport:
    """Bring a table up to date with its sources and publish one version, or none if nothing changed.

    Args:
        config: The settings that the table was built with.
        root: The database's folder.
        sources: In place of the settings' own; a full update also reads what was fed back into the database.
        reading: How much is read; of sources that are read whole, ids that they no longer give are removed, guarded as
            in `build`.
        log: Takes one line for each step.

    Returns:
        What was new, changed and gone, and the version that was published.

    Raises:
        UpdateError: There is no table or no state to start from, or the settings differ from the last build's.
        BuildStoppedError: A source shrank or changed its functional.
    """
    root = Path(root)
    table = CrysTable(root / "table")
    if not table.exists:  # `writer` makes the folder that it locks
        raise UpdateError(f"no database at {root}: run `dao crysdb build` first, or correct the path")
    with table.writer():
        table.check()
        state = _checked_state(root, table, config)
        ledger = Ledger(root / "ledger")
        opened = sources_of(config, sources)
        opened = with_fed_back(opened, root) if reading.complete else opened
        changes = find_changes(opened, state, ledger, config, reading)
        log(f"{changes.n_in} rows read, {changes.changed.num_rows} new or changed, {len(changes.gone)} gone")
        before = table.facts().get("sources", {})
        if not reading.complete:  # nothing is known of the others
            before = {name: facts for name, facts in before.items() if name in changes.read_whole}
        check_sources(before, changes.read_whole, config.guards)
        key = content_key(
            code=code_version(update), state=state.key, changes=changes.key, settings=settings_key(config)
        )
        record = ledger.run("update", key, lambda d: _Update(table, state, changes, config, ledger).run(d))
        return _publish(root, table, state, record, changes)


def _checked_state(root: Path, table: CrysTable, config: BuildConfig) -> State:
    state = read_state(root)
    if state.settings != settings_key(config):
        raise UpdateError("the settings differ from those of the last build: run `dao crysdb build` with them")
    if table.version != state.version and table.facts().get("state") != state.key:
        raise UpdateError(
            f"the table is at version {table.version}, the state at {state.version}: run `dao crysdb build` once"
        )
    return state


class _Update:
    """The work of one update: everything that the commit needs, written into a stage directory."""

    def __init__(self, table: CrysTable, state: State, changes: Changes, config: BuildConfig, ledger: Ledger) -> None:
        self.version = state.version
        self.table, self.state, self.changes, self.config, self.ledger = table, state, changes, config, ledger
        self.replaced = changes.replaced
        self.last = LastHulls.read(table.path.parent)

    def run(self, directory: Path) -> dict[str, Any]:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        gone = pa_strings(self.replaced)
        old_entries = self.state.entries
        kept = old_entries.filter(pc.invert(pc.is_in(old_entries["material_id"], value_set=gone)))
        entries = _by_source(pa.concat_tables([kept, self.changes.entries]), self.changes.order)
        fresh = self._with_leaks(self.changes.changed)
        values = touched_values(old_entries, entries, self.replaced, self.config.hull, self.last)
        twins, in_buckets = self._twins(fresh, gone, values)
        moved = self._moved(values, twins, in_buckets, gone)
        rows = self._revalue(pa.concat_tables([moved, fresh]), values, twins, in_buckets)
        far = is_far(rows, self.config.clean, values.quarantine)
        near = rows.filter(pc.invert(far))
        published = set(self._ids())
        delete = sorted((self.replaced | set(rows.filter(far)["material_id"].to_pylist())) & published
                        - set(near["material_id"].to_pylist()))  # fmt: skip
        touched = pa_strings(self.replaced | set(rows["material_id"].to_pylist()))
        aside = self.state.aside
        aside = pa.concat_tables(
            [aside.filter(pc.invert(pc.is_in(aside["material_id"], value_set=touched))), rows.filter(far)]
        )
        for name, content in ((ROWS, near), (ENTRIES, entries), (ASIDE, aside)):
            pq.write_table(content, directory / name, compression="zstd")
        write_atomic(directory / "delete.json", json.dumps(delete))
        values.write(directory)
        counts = {"n_written": near.num_rows, "n_deleted": len(delete), "n_revalued": moved.num_rows}
        return {"counts": counts}

    def _ids(self) -> list[str]:
        return list(self.table.read(["material_id"], version=self.version)["material_id"].to_pylist())

    def _with_leaks(self, fresh: pa.Table) -> pa.Table:
        import pyarrow as pa

        prepared = [benchmark_stage(b, self.ledger, symprec=self.config.symprec) for b in self.config.benchmarks]
        loaded = load_benchmarks(self.config, prepared)
        leaks = audit([fresh.select(list(LEAK_COLUMNS))], loaded, self.config.dedup.match, workers=1)
        labels = [leaks.get(i, []) for i in fresh["material_id"].to_pylist()]
        return _set(fresh, "leaks_into", pa.array(labels, type=pa.list_(pa.string())))

    def _twins(self, fresh: pa.Table, gone: pa.Array, values: TouchedValues) -> tuple[dict[str, str], set[str]]:
        """Duplicates of all touched buckets, and the ids of the rows in them."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names = list(dict.fromkeys((*DEDUP_COLUMNS, *STRUCTURE_COLUMNS)))
        old = pa.concat_tables([self.table.read(list(DEDUP_COLUMNS), version=self.version),
                                self.state.aside.select(list(DEDUP_COLUMNS))])  # fmt: skip
        changed = pa_strings(self.replaced | values.moved | self._crossing(values))
        before = old.filter(pc.is_in(old["material_id"], value_set=changed))["structure_key"].to_pylist()
        keys = pa_strings({k for k in [*before, *fresh["structure_key"].to_pylist()] if k})
        members = self.table.read(names, filters=pc.field("structure_key").isin(keys), version=self.version)
        aside = self.state.aside.select(names)
        others = pa.concat_tables([members, aside.filter(pc.is_in(aside["structure_key"], value_set=keys))])
        others = others.filter(pc.invert(pc.is_in(others["material_id"], value_set=gone)))
        pool = pa.concat_tables([others, fresh.select(names)])
        if self.config.dedup.across_sources:  # the order of sources decides who stays
            pool = _by_source(pool, self.changes.order)
        buckets = buckets_of(pool.select(list(DEDUP_COLUMNS)), self.config.dedup, values.quarantine)

        def load(rows: list[int]) -> dict[int, Member]:
            picked = members_of(pool.select(list(STRUCTURE_COLUMNS)).take(pa.array(rows)))
            return dict(zip(rows, picked, strict=True))

        twins = duplicates(buckets, load, self.config.dedup, workers=1)
        return twins, set(pool["material_id"].to_pylist())

    def _crossing(self, values: TouchedValues) -> set[str]:
        """Rows that the new hulls put on the other side of the limit of what is published, with whom they stand for."""
        limit = self.config.clean.max_e_above_hull
        aside = set(self.state.aside["material_id"].to_pylist())
        far = {name for name, (_, above) in values.by_id.items() if above is not None and above >= limit}
        return (far - aside) | (aside & (values.by_id.keys() - far))

    def _moved(self, values: TouchedValues, twins: dict[str, str], in_buckets: set[str], gone: pa.Array) -> pa.Table:
        """Unchanged rows (published or set aside) that get another hull distance, formation energy or duplicate."""
        import pyarrow as pa
        import pyarrow.compute as pc

        touched = pa_strings(set(values.by_id) | in_buckets)
        columns = ["material_id", "formation_energy_per_atom", "e_above_hull", "duplicate_of"]
        now = self.table.read(columns, filters=pc.field("material_id").isin(touched), version=self.version)
        aside = self.state.aside
        candidates = pa.concat_tables(
            [now, aside.filter(pc.is_in(aside["material_id"], value_set=touched)).select(columns)]
        )
        candidates = candidates.filter(pc.invert(pc.is_in(candidates["material_id"], value_set=gone)))
        moved, twins_of = set(), {}
        for name, formation, above, twin in zip(*(candidates[c].to_pylist() for c in columns), strict=True):
            new = values.by_id.get(name, (formation, above))
            new_twin = twins.get(name) if name in in_buckets else twin
            same = _close(new[1], above) and (new[0] is None or _close(new[0], formation))
            twins_of[name] = {twin, new_twin}
            if not same or new_twin != twin:
                moved.add(name)
        # whoever stands for others may have crossed the limit of what is published: their links are made anew
        moved |= {name for name, those in twins_of.items() if those & moved}
        ids = pa_strings(moved)
        rows = self.table.read(filters=pc.field("material_id").isin(ids), version=self.version)
        return conform(pa.concat_tables([rows, aside.filter(pc.is_in(aside["material_id"], value_set=ids))]))

    def _revalue(self, rows: pa.Table, values: TouchedValues, twins: dict[str, str], in_buckets: set[str]) -> pa.Table:
        """Computed columns of the rows to write."""
        import pyarrow as pa
        import pyarrow.compute as pc

        ids = rows["material_id"].to_pylist()
        old = zip(rows["formation_energy_per_atom"].to_pylist(), rows["e_above_hull"].to_pylist(), strict=True)
        new = [values.by_id.get(name, kept) for name, kept in zip(ids, old, strict=True)]
        formation = pa.array([v[0] for v in new], type=pa.float64())
        above = pa.array([v[1] for v in new], type=pa.float64())
        rows = _set(rows, "formation_energy_per_atom", pc.coalesce(formation, rows["formation_energy_per_atom_source"]))
        rows = _set(rows, "e_above_hull", above)
        rows = _set(rows, "is_stable", pc.less_equal(known_distance(above, rows["e_above_hull_source"]), STABLE_BELOW))
        # a row whose representative is not published, now or since before, stands for itself
        far = set(self.state.aside["material_id"].to_pylist()) - set(ids)
        far |= set(rows.filter(is_far(rows, self.config.clean, values.quarantine))["material_id"].to_pylist())
        kept_twins = rows["duplicate_of"].to_pylist()
        links = [twins.get(i) if i in in_buckets else t for i, t in zip(ids, kept_twins, strict=True)]
        links = [None if t in far else t for t in links]
        return conform(_set(rows, "duplicate_of", pa.array(links, type=pa.string())))


def _close(a: float | None, b: float | None) -> bool:
    return a is b or (a is not None and b is not None and abs(a - b) < 1e-9)


def _by_source(table: pa.Table, order: Sequence[str]) -> pa.Table:
    """The rows in the order of their sources; those of one source stay in theirs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rank = {name: i for i, name in enumerate(order)}
    return table.take(
        pc.sort_indices(pa.array([rank.get(s, len(rank)) for s in table["source"].to_pylist()], pa.int64()))
    )


def _set(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)


def _publish(root: Path, table: CrysTable, state: State, record: StageRecord, changes: Changes) -> UpdateReport:
    """One commit (none if this update was committed before a kill, or changes nothing), then the new state."""
    import pyarrow.parquet as pq

    facts = table.facts()
    rows = pq.read_table(record.file(ROWS))
    delete = json.loads(record.file("delete.json").read_text())
    if facts.get("update") != record.key and (rows.num_rows or delete):
        facts |= {
            "update": record.key,
            "state": state.key,
            "build": None,
            "content_hash": content_key(before=facts.get("content_hash"), update=record.key),
            "sources": _counts_after(table, rows, delete, facts.get("sources", {}), changes),
        }
        table.upsert(rows, delete=delete, facts=facts)
    table.seal()
    publish_hulls(record, root)  # before the state: an update reads hulls that are as new as its state
    write_state(
        root,
        entries=record.file(ENTRIES),
        aside=record.file(ASIDE),
        facts={"version": table.version, "key": record.key, "settings": state.settings},
    )
    report = UpdateReport(
        version=table.version,
        n_in=changes.n_in,
        n_same=changes.n_same,
        n_new=changes.n_new,
        n_changed=changes.changed.num_rows - changes.n_new,
        n_gone=len(changes.gone),
        n_refused=changes.n_refused,
        sources=table.facts().get("sources", {}),
        **record.counts,
    )
    write_atomic(root / f"update-{REPORT}", json.dumps(asdict(report), indent=1))
    return report


def _counts_after(
    table: CrysTable, rows: pa.Table, delete: list[str], sources: dict[str, dict[str, Any]], changes: Changes
) -> dict[str, dict[str, Any]]:
    """The facts about each source after the commit."""
    columns = ("material_id", "source")
    now = table.read(list(columns))
    owner = dict(zip(*(now[c].to_pylist() for c in columns), strict=True))
    for name in delete:
        owner.pop(name, None)
    owner.update(zip(*(rows[c].to_pylist() for c in columns), strict=True))
    published = Counter(owner.values())
    out = {}
    for name in sorted({*sources, *published}):
        before = sources.get(name, {"functional": changes.functionals.get(name), "version": None})
        out[name] = {**before, "n_published": published[name]}
        if counts := changes.read_whole.get(name):
            out[name] |= {**counts, "n_dropped": counts["n_in"] - counts["n_refused"] - published[name]}
    return out
