"""Ingest: the rows of a source into shards of the ledger, restartable at the last whole shard."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.artifacts import Ledger, StageRecord, content_key
from dao_core.code_version import code_version
from dao_core.crysdb.schema import CrysRecord, records_to_table, utc_now
from dao_core.crysdb.sources.base import Refusal, Source, SourceItem

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = "rows.parquet"
REFUSED = "refused.jsonl"
MOST_NOTES = 50  # of a shard; some name a site and so are many


class _Feed:
    """A source read on from any cursor, without opening it again when that is where it stands."""

    def __init__(self, source: Source, since: str | None) -> None:
        self._source = source
        self._since = since
        self._at: str | None = None
        self._items: Iterator[SourceItem] | None = None

    def take(self, cursor: str | None, rows: int) -> list[SourceItem]:
        if self._items is None or self._at != cursor:
            self._items = iter(self._source.iter_records(self._since, cursor))
        items = list(islice(self._items, rows))
        self._at = items[-1].cursor if items else cursor
        return items


def source_identity(source: Source, snapshot: str | None = None) -> str:
    """What a reading of a source is called in the ledger: its content's hash, its version, or the snapshot's name."""
    own = getattr(source, "fingerprint", None)
    content = own() if callable(own) else source.version or snapshot or datetime.now(UTC).strftime("%Y-%m-%d")
    part = getattr(source, "selection", None)  # another filter on the same release is another reading
    return content_key(
        name=source.name, functional=source.functional, version=source.version, content=content, part=part
    )


def functionals_of(sources: Iterable[Source]) -> dict[str, str]:
    """What made the energies of each source, by its name; of several of one name all of it."""
    names: dict[str, dict[str, None]] = {}
    for source in sources:
        names.setdefault(source.name, {})[source.functional] = None
    return {name: ", ".join(functionals) for name, functionals in names.items()}


def ingest(
    source: Source, ledger: Ledger, *, shard_rows: int, snapshot: str | None = None, since: str | None = None
) -> list[StageRecord]:
    """Read a source into shards; those that are already there are not read again. A repeated id is refused.

    Args:
        source: What to read.
        ledger: Where the shards go.
        shard_rows: Rows of a shard at most.
        snapshot: Names this reading of a source that has no version of its own.
        since: Only rows changed after this date, where the source can say.

    Returns:
        The shards: counts n_in and n_refused, files `rows.parquet` and `refused.jsonl`, and how many rows have which
        note.

    Raises:
        SourceError: The source fails; whole shards before it are kept and the next call continues there.
    """
    identity, code = source_identity(source, snapshot), reading_code(source)
    feed = _Feed(source, since)
    seen: set[str] = set()
    shards: list[StageRecord] = []
    cursor: str | None = None
    while True:
        key = content_key(code=code, identity=identity, since=since, rows=shard_rows, cursor=cursor, index=len(shards))
        shard = ledger.run("ingest", key, _shard_work(feed, cursor, shard_rows, seen))
        seen.update(ids_of(shard))
        shards.append(shard)
        cursor = shard.facts["cursor"]
        if shard.counts["n_in"] < shard_rows:
            return shards


def reading_code(source: Source) -> str:
    """The version of the code that turns a source's rows into ours; a source from elsewhere has none of its own."""
    own = type(source).__module__.startswith("dao_core.")
    return code_version(ingest, type(source)) if own else code_version(ingest)


def without_taken(shard: StageRecord, taken: Mapping[str, str], ledger: Ledger) -> StageRecord:
    """A shard without the rows whose ids an earlier source has; itself where there are none.

    Everything after this knows a row by its id alone: its hull, its duplicates and its leaks into benchmarks.

    Args:
        shard: Of one source.
        taken: Id -> the source that has it.
        ledger: Of the database.
    """
    repeated = [name for name in ids_of(shard) if name in taken]
    if not repeated:
        return shard

    def work(directory: Path) -> dict[str, Any]:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        rows = pq.read_table(shard.file(ROWS))
        keep = pc.invert(pc.is_in(rows["material_id"], value_set=pa.array(repeated, type=pa.string())))
        pq.write_table(rows.filter(keep), directory / ROWS, compression="zstd")
        more = [{"row": name, "reason": f"id already used by source {taken[name]}"} for name in repeated]
        write_jsonl(directory / REFUSED, [*read_jsonl(shard.file(REFUSED)), *more])
        counts = {**shard.counts, "n_refused": shard.counts["n_refused"] + len(repeated)}
        return {"counts": counts, "facts": {**shard.facts, "of": shard.key}}

    return ledger.run("ingest", content_key(of=shard.key, taken=[(name, taken[name]) for name in repeated]), work)


def ids_of(shard: StageRecord) -> list[str]:
    """Ids of a shard's rows."""
    import pyarrow.parquet as pq

    return list(pq.read_table(shard.file(ROWS), columns=["material_id"])["material_id"].to_pylist())


def _shard_work(feed: _Feed, cursor: str | None, rows: int, seen: set[str]) -> Any:
    def work(directory: Path) -> dict[str, Any]:
        import pyarrow.parquet as pq

        items = feed.take(cursor, rows)
        records, refusals = _split(items, seen)
        table = with_row_hashes(records_to_table(records))
        pq.write_table(table, directory / ROWS, compression="zstd")
        write_jsonl(directory / REFUSED, ({"row": r.row, "reason": r.reason} for r in refusals))
        counts = {"n_in": len(items), "n_refused": len(refusals)}
        notes = Counter(note for item in items for note in item.notes).most_common(MOST_NOTES)
        return {"counts": counts, "facts": {"cursor": items[-1].cursor if items else cursor, "notes": dict(notes)}}

    return work


def _split(items: list[SourceItem], seen: set[str]) -> tuple[list[CrysRecord], list[Refusal]]:
    now = utc_now()
    own: set[str] = set()
    records: list[CrysRecord] = []
    refusals: list[Refusal] = []
    for item in items:
        if isinstance(item.value, Refusal):
            refusals.append(item.value)
            continue
        record = item.value
        reason = "id given twice" if record.material_id in seen or record.material_id in own else _misfit(record)
        if reason:
            refusals.append(Refusal(record.material_id, reason))
            continue
        own.add(record.material_id)
        record.ingested_at = record.ingested_at or now
        if record.formation_energy_per_atom_source is None:  # a source may speak of its own value without the suffix
            record.formation_energy_per_atom_source = record.formation_energy_per_atom
        if record.e_above_hull_source is None:
            record.e_above_hull_source = record.e_above_hull
        records.append(record)
    return records, refusals


def _misfit(record: CrysRecord) -> str | None:
    """Why a record would not survive being written; what is physically wrong is the cleaning's business."""
    if np.shape(record.lattice) != (3, 3):
        return f"lattice has shape {np.shape(record.lattice)}"
    numbers = np.asarray(record.atomic_numbers)
    if len(numbers) == 0 or np.shape(record.frac_coords) != (len(numbers), 3):
        return f"{len(numbers)} atoms, positions of shape {np.shape(record.frac_coords)}"
    if numbers.min() < 1 or numbers.max() > 100:
        return f"atomic number outside 1..100: {sorted(set(numbers.tolist()))}"
    return None


HASHED = (
    "source",
    "functional",
    "energy_per_atom",
    "energy_correction_per_atom",
    "formation_energy_per_atom_source",
    "e_above_hull_source",
    "parent_id",
    "relaxation",
    "license",
)
HASHED_IF_THERE = ("forces", "stress")  # rows without them keep the hash that they had before these columns were there


def with_row_hashes(table: pa.Table) -> pa.Table:
    """The table with `row_hash`: what an update compares to see which rows changed."""
    import pyarrow as pa

    lattices = np.asarray(table["lattice"].combine_chunks().flatten()).reshape(-1, 9)
    frac = np.asarray(table["frac_coords"].combine_chunks().flatten())
    numbers = np.asarray(table["atomic_numbers"].combine_chunks().flatten())
    ends = np.cumsum(np.asarray(table["n_atoms"]).astype(np.int64)).tolist()
    plain = zip(*(table[name].to_pylist() for name in HASHED), strict=True)
    labels = zip(*(table[name].to_pylist() for name in HASHED_IF_THERE), strict=True)
    hashes = []
    begin = 0
    for lattice, end, values, more in zip(lattices, ends, plain, labels, strict=True):
        digest = hashlib.blake2b(repr(values).encode(), digest_size=8)
        if any(value is not None for value in more):
            digest.update(repr(more).encode())
        digest.update(lattice.tobytes())
        digest.update(frac[3 * begin : 3 * end].tobytes())
        digest.update(numbers[begin:end].tobytes())
        hashes.append(digest.hexdigest())
        begin = end
    return table.set_column(table.schema.get_field_index("row_hash"), "row_hash", pa.array(hashes, type=pa.string()))


def write_jsonl(path: Path, rows: Any) -> None:
    """One JSON object a line."""
    with path.open("w") as handle:
        for row in rows:
            handle.write(json.dumps(row) + "\n")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects of a file made by `write_jsonl`."""
    return [json.loads(line) for line in path.read_text().splitlines()]
