"""One source read to its end, restartable where it was cut, and its place among the sources of the library."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dao_core.artifacts import Ledger, StageRecord, content_key, write_atomic
from dao_core.crysdb.build.ingest import REFUSED, ROWS, ingest, read_jsonl, reading_code, source_identity
from dao_core.crysdb.sources.base import Source
from dao_core.library.folder import LibraryError, LibrarySource

SOURCES, READING = "sources", "reading"
WHOLE = "whole"  # stage of a finished reading
ROWS_A_SHARD = 2_000  # what a cut reading of a server loses at most
SNAPSHOT = "one reading"  # what is published is no longer kept as a reading, so the next one starts anew
COMMON_REASONS = 10


@dataclass(frozen=True)
class Collected:
    """A source that was read to its end; `publish` makes it one of the library's, and until then no build takes it."""

    source: LibrarySource
    stage: StageRecord

    @property
    def rows(self) -> Path:
        """Its rows."""
        return self.stage.file(ROWS)


def collect(source: Source, root: Path, *, description: str, origin: str, revision: int = 1) -> Collected:
    """Read a source to its end.

    Args:
        source: Where the rows come from.
        root: Folder of the library.
        description: What the source is, for people.
        origin: Where it is read from.
        revision: Of the way in which it is read.

    Returns:
        What was read and refused; the same call finds it again until it is published.

    Raises:
        SourceError: The source failed; the rows read so far are kept and the same call continues behind them.
        LibraryError: The source has no usable row.
    """
    ledger = Ledger(root / READING)

    def work(directory: Path) -> dict[str, Any]:
        shards = ingest(source, ledger, shard_rows=ROWS_A_SHARD, snapshot=SNAPSHOT)
        found = replace(_summary(source, shards, description, origin), revision=revision)
        if found.n_read == found.n_refused:
            reasons = "; ".join(f"{n} x {reason}" for reason, n in found.reasons.items())
            raise LibraryError(f"{origin} has no usable structure: {found.n_read} rows read, left out {reasons}")
        _join(shards, directory / ROWS)
        return {"facts": {"source": asdict(found), "shards": [shard.path for shard in shards]}}

    about = {"description": description, "origin": origin, "revision": revision}
    identity = source_identity(source, SNAPSHOT)
    stage = ledger.run(WHOLE, content_key(identity=identity, code=reading_code(source), **about), work)
    for shard in stage.facts["shards"]:
        shutil.rmtree(shard, ignore_errors=True)
    return Collected(LibrarySource(**stage.facts["source"]), stage)


def publish(found: Collected, root: Path) -> None:
    """Make a source one of the library's, in place of what had its name."""
    (root / SOURCES).mkdir(parents=True, exist_ok=True)
    found.rows.replace(source_file(root, found.source.name))
    write_atomic(_facts_file(root, found.source.name), json.dumps(asdict(found.source), indent=1))
    shutil.rmtree(found.stage.path, ignore_errors=True)


def discard(name: str, root: Path) -> None:
    """Take a source out of the library's."""
    for path in (_facts_file(root, name), source_file(root, name)):
        path.unlink(missing_ok=True)


def collected(root: Path) -> list[LibrarySource]:
    """The sources that a library's folder holds, as `in_order` has them."""
    return in_order(LibrarySource(**json.loads(p.read_text())) for p in (root / SOURCES).glob("*.json"))


def in_order(sources: Iterable[LibrarySource]) -> list[LibrarySource]:
    """Sources in the order in which their structures are preferred."""
    order = {"delta-elements": 0, "oqmd-icsd": 1, "aflow-encyclopedia": 3, "amcsd": 4}
    return sorted(sources, key=lambda s: (order.get(s.name, 2), s.name))


def source_file(root: Path, name: str) -> Path:
    """The rows of a collected source."""
    return root / SOURCES / f"{name}.parquet"


def ids_of_others(name: str, root: Path) -> set[str]:
    """The ids of all collected rows but those of one source."""
    import pyarrow.parquet as pq

    files = [source_file(root, s.name) for s in collected(root) if s.name != name]
    return {i for file in files for i in pq.read_table(file, columns=["material_id"])["material_id"].to_pylist()}


def _facts_file(root: Path, name: str) -> Path:
    return root / SOURCES / f"{name}.json"


def _summary(source: Source, shards: list[StageRecord], description: str, origin: str) -> LibrarySource:
    reasons = Counter(row["reason"] for shard in shards for row in read_jsonl(shard.file(REFUSED)))
    notes: Counter[str] = Counter()
    for shard in shards:
        notes.update(shard.facts.get("notes", {}))
    return LibrarySource(
        name=source.name,
        description=description,
        license=_license(shards),
        origin=origin,
        n_read=sum(s.counts["n_in"] for s in shards),
        n_refused=sum(s.counts["n_refused"] for s in shards),
        reasons=dict(reasons.most_common(COMMON_REASONS)),
        notes=dict(notes.most_common(COMMON_REASONS)),
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
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for shard in shards:
            writer.write_table(pq.read_table(shard.file(ROWS)))
