"""One source read to its end into a file of the library, restartable where it was cut."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

from dao_core.artifacts import Ledger, StageRecord, write_atomic, written_whole
from dao_core.crysdb.build.ingest import REFUSED, ROWS, ingest, read_jsonl
from dao_core.crysdb.sources.base import Source
from dao_core.library.folder import LibraryError, LibrarySource

SOURCES, READING = "sources", "reading"
ROWS_A_SHARD = 2_000  # what a cut reading of a server loses at most
SNAPSHOT = "one reading"  # a finished reading is deleted, so the next one starts anew
COMMON_REASONS = 10


def collect(source: Source, root: Path, *, description: str, origin: str, revision: int = 1) -> LibrarySource:
    """Read a source into `sources/<name>.parquet`; the file appears whole or not at all.

    Args:
        source: Where the rows come from.
        root: Folder of the library.
        description: What the source is, for people.
        origin: Where it is read from.
        revision: Of the way in which it is read.

    Returns:
        What was read and refused.

    Raises:
        SourceError: The source failed; the rows read so far are kept and the same call continues behind them.
        LibraryError: The source has no usable row.
    """
    ledger = Ledger(root / READING)
    shards = ingest(source, ledger, shard_rows=ROWS_A_SHARD, snapshot=SNAPSHOT)
    found = replace(_summary(source, shards, description, origin), revision=revision)
    if found.n_read == found.n_refused:
        raise LibraryError(f"{origin} has no usable structure: {found.n_read} rows read, reasons {found.reasons}")
    target = root / SOURCES
    target.mkdir(parents=True, exist_ok=True)
    _join(shards, target / f"{source.name}.parquet")
    write_atomic(target / f"{source.name}.json", json.dumps(asdict(found), indent=1))
    for shard in shards:
        shutil.rmtree(shard.path, ignore_errors=True)
    return found


def collected(root: Path) -> list[LibrarySource]:
    """The sources that a library's folder holds, in the order in which their structures are preferred."""
    order = {"delta-elements": 0, "oqmd-icsd": 1, "aflow-encyclopedia": 3, "amcsd": 4}
    found = [LibrarySource(**json.loads(p.read_text())) for p in sorted((root / SOURCES).glob("*.json"))]
    return sorted(found, key=lambda s: (order.get(s.name, 2), s.name))


def source_file(root: Path, name: str) -> Path:
    """The rows of a collected source."""
    return root / SOURCES / f"{name}.parquet"


def _summary(source: Source, shards: list[StageRecord], description: str, origin: str) -> LibrarySource:
    reasons = Counter(row["reason"] for shard in shards for row in read_jsonl(shard.file(REFUSED)))
    return LibrarySource(
        name=source.name,
        description=description,
        license=_license(shards),
        origin=origin,
        n_read=sum(s.counts["n_in"] for s in shards),
        n_refused=sum(s.counts["n_refused"] for s in shards),
        reasons=dict(reasons.most_common(COMMON_REASONS)),
    )


def _license(shards: list[StageRecord]) -> str | None:
    import pyarrow.parquet as pq

    found: set[str] = set()
    for shard in shards:
        found.update(x for x in pq.read_table(shard.file(ROWS), columns=["license"])["license"].to_pylist() if x)
    return ", ".join(sorted(found)) or None


def _join(shards: list[StageRecord], path: Path) -> None:
    import pyarrow.parquet as pq

    schema = pq.read_schema(shards[0].file(ROWS))
    with written_whole(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for shard in shards:
            writer.write_table(pq.read_table(shard.file(ROWS)))
