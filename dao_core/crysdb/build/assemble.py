"""The last stage before publishing: hull values, duplicates and leaks joined to the rows, limits applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.artifacts import Ledger, StageRecord, content_key
from dao_core.code_version import code_version
from dao_core.crysdb.build.ingest import ROWS, write_jsonl
from dao_core.crysdb.build.stages import DROPPED
from dao_core.crysdb.schema import conform
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.steps.content import ContentDigest
from dao_core.crysdb.steps.energies import known_distance
from dao_core.crysdb.steps.quarantine import QUARANTINE, Quarantine, in_quarantine, read_quarantine
from dao_core.crysdb.views import LEAK_LEVELS, VIEWS, select_view
from dao_core.units import STABLE_BELOW

if TYPE_CHECKING:
    import pyarrow as pa

IMPLAUSIBLE = f"energy that cannot be right: in quarantine ({QUARANTINE}, dao crysdb doctor)"
AGREEMENT = "agreement.parquet"  # every row where both hulls speak: ours, the source's


@dataclass(frozen=True)
class Computed:
    """The stages that looked at all rows together: hulls, duplicates and leaks."""

    hull: StageRecord
    dedup: StageRecord
    leaks: StageRecord


def assemble(shards: Sequence[StageRecord], computed: Computed, ledger: Ledger, settings: CleanSettings) -> StageRecord:
    """Join what was computed to the rows and apply the limits.

    Args:
        shards: The standardised shards.
        computed: The stages to join.
        ledger: Where this stage goes.
        settings: The limits.

    Returns:
        Shards `part-*.parquet` of the rows to publish; `aside-*.parquet` with the rows too far above the hull, which an
        update may lower into the table; the rows dropped here. Facts: `content_hash` (of all published values but the
        time of ingestion), `published` and `dropped` by source, `views` with their rows, `agreement` of our hull
        distance with the source's own in eV/atom.
    """

    def work(directory: Path) -> dict[str, Any]:
        return _Assembly(computed, settings).run(shards, directory)

    keys = [s.key for s in (*shards, computed.hull, computed.dedup, computed.leaks)]
    key = content_key(code=code_version(assemble), keys=keys, max_e_above_hull=settings.max_e_above_hull)
    return ledger.run("assemble", key, work)


class _Assembly:
    def __init__(self, computed: Computed, settings: CleanSettings) -> None:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        self.settings = settings
        self.values = pq.read_table(computed.hull.file("values.parquet"))
        self.names = self.values["material_id"].to_pylist()
        twins = pq.read_table(computed.dedup.file("duplicates.parquet"))
        self.quarantine = read_quarantine(computed.hull.file(QUARANTINE))
        far = self.values.filter(is_far(self.values, settings, self.quarantine))["material_id"]
        # a row whose representative lies too high to be published stands for itself
        kept = twins.filter(pc.invert(pc.is_in(twins["duplicate_of"], value_set=far.combine_chunks())))
        self.duplicate_of = dict(zip(*(kept[c].to_pylist() for c in kept.column_names), strict=True))
        labels = pq.read_table(computed.leaks.file("leaks.parquet"))
        self.leaks_into = dict(zip(*(labels[c].to_pylist() for c in labels.column_names), strict=True))
        self.at = 0
        self.digest = ContentDigest()
        self.published: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.views: Counter[str] = Counter()
        self.agreement: list[pa.Table] = []

    def run(self, shards: Sequence[StageRecord], directory: Path) -> dict[str, Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        reasons: list[dict[str, str]] = []
        for number, shard in enumerate(shards):
            table, aside, dropped = self._limit(self._join(pq.read_table(shard.file(ROWS))))
            reasons += dropped
            self._count(table)
            pq.write_table(table, directory / f"part-{number:05d}.parquet", compression="zstd")
            pq.write_table(aside, directory / f"aside-{number:05d}.parquet", compression="zstd")
        write_jsonl(directory / DROPPED, reasons)
        schema = pa.schema([("material_id", pa.string()), ("source", pa.string()), *_agreement_fields()])
        agreement = pa.concat_tables(self.agreement) if self.agreement else schema.empty_table()
        pq.write_table(agreement, directory / AGREEMENT, compression="zstd")
        counts = {"n": sum(self.published.values()), "n_dropped": len(reasons)}
        facts = {
            "content_hash": self.digest.hexdigest(),
            "published": dict(self.published),
            "dropped": dict(self.dropped),
            "views": dict(self.views),
            "agreement": agreement_figures(agreement),
        }
        return {"counts": counts, "facts": facts}

    def _join(self, table: pa.Table) -> pa.Table:
        """The computed columns filled in; the hull's values have the same order, but standardising may skip rows."""
        import pyarrow as pa
        import pyarrow.compute as pc

        ids = table["material_id"].to_pylist()
        rows = np.empty(len(ids), dtype=np.int64)
        names = self.names
        for i, name in enumerate(ids):
            while names[self.at] != name:
                self.at += 1
            rows[i] = self.at
            self.at += 1
        picked = self.values.take(pa.array(rows))
        above = picked["e_above_hull"]
        formation = pc.coalesce(picked["formation_energy_per_atom"], table["formation_energy_per_atom_source"])
        columns = {
            "formation_energy_per_atom": formation,
            "e_above_hull": above,
            "is_stable": pc.less_equal(known_distance(above, table["e_above_hull_source"]), STABLE_BELOW),
            "duplicate_of": pa.array([self.duplicate_of.get(i) for i in ids], type=pa.string()),
            "leaks_into": pa.array([self.leaks_into.get(i, []) for i in ids], type=pa.list_(pa.string())),
        }
        for name, values in columns.items():
            table = table.set_column(table.schema.get_field_index(name), name, values)
        return conform(table)

    def _limit(self, table: pa.Table) -> tuple[pa.Table, pa.Table, list[dict[str, str]]]:
        """Rows to publish, rows too far above the hull, and the reasons of the latter."""
        import pyarrow.compute as pc

        high = is_far(table, self.settings, self.quarantine)
        far = table.filter(high)
        reason = f"{self.settings.max_e_above_hull:g} eV/atom or more above the hull"
        dropped = [
            {"row": name, "source": source, "reason": IMPLAUSIBLE if (source, name) in self.quarantine else reason}
            for name, source in zip(far["material_id"].to_pylist(), far["source"].to_pylist(), strict=True)
        ]
        self.dropped.update(row["source"] for row in dropped)
        return table.filter(pc.invert(high)), far, dropped

    def _count(self, table: pa.Table) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        self.published.update(table["source"].to_pylist())
        self.digest.update(table)
        for view in VIEWS:
            for level in LEAK_LEVELS if view not in ("all", "forces") else ("structure",):
                name = view if view == "all" else f"{view}/{level}"
                self.views[name] += select_view(table, view, level=level).num_rows
        both = pc.and_(pc.is_valid(table["e_above_hull"]), pc.is_valid(table["e_above_hull_source"]))
        columns = ["material_id", "source", "e_above_hull", "e_above_hull_source"]
        self.agreement.append(
            table.select(columns).filter(both).cast(pa.schema([table.schema.field(c) for c in columns]))
        )


def is_far(table: pa.Table, settings: CleanSettings, quarantine: Quarantine) -> pa.Array:
    """Which rows lie too far above the hull to be published.

    Args:
        table: Rows with their distances to the hull, ours or the source's.
        settings: The limit, eV/atom.
        quarantine: Rows whose energies are implausible; they count as far.

    Returns:
        True for each such row; unknown is not far.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    above = pc.fill_null(known_distance(table["e_above_hull"], table["e_above_hull_source"]), 0.0)
    far = np.asarray(pc.greater_equal(above, settings.max_e_above_hull))
    return pa.array(far | in_quarantine(table, quarantine), pa.bool_())


def _agreement_fields() -> list[tuple[str, Any]]:
    import pyarrow as pa

    return [("e_above_hull", pa.float64()), ("e_above_hull_source", pa.float64())]


def agreement_figures(agreement: pa.Table) -> dict[str, dict[str, float]]:
    """By source: rows in which both hulls speak, and median and 95th percentile of |ours - theirs| in eV/atom."""
    out: dict[str, dict[str, float]] = {}
    source = agreement["source"].to_numpy(zero_copy_only=False)
    difference = np.abs(agreement["e_above_hull"].to_numpy() - agreement["e_above_hull_source"].to_numpy())
    for name in sorted(set(source)):
        own = difference[source == name]
        out[str(name)] = {
            "n": len(own),
            "median": float(np.median(own)),
            "p95": float(np.percentile(own, 95)),
            "max": float(own.max()),
        }
    return out
