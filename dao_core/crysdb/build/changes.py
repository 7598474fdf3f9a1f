"""What is new in the sources since the last build: read, compared by row hash, cleaned and standardised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.artifacts import Ledger, StageRecord, content_key
from dao_core.crysdb.build.ingest import ROWS, functionals_of, ingest
from dao_core.crysdb.build.state import State
from dao_core.crysdb.config import BuildConfig
from dao_core.crysdb.sources.base import Source
from dao_core.crysdb.steps.clean import clean
from dao_core.crysdb.steps.energies import ENTRY_COLUMNS
from dao_core.crysdb.steps.keys import key_columns
from dao_core.crysdb.steps.standardise import standardise

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Reading:
    """How much of its sources an update reads.

    Attributes:
        since: Ask remote sources only for rows changed after this date (ISO 8601).
        partial: The sources give only what is new or changed: an id that they don't give is not gone.
    """

    since: str | None = None
    partial: bool = False

    @property
    def complete(self) -> bool:
        """Whether an id that no source gives is gone."""
        return not (self.partial or self.since)

    def is_whole(self, source: Source) -> bool:
        """Whether a source gives everything that it has: those that know no dates do so whatever is asked."""
        return self.complete or not (self.partial or getattr(source, "knows_dates", False))


WHOLE = Reading()


@dataclass(frozen=True)
class Changes:
    """What differs from the last build.

    Attributes:
        changed: New and changed rows, whole and standardised (publishable ones).
        entries: What all of them say to hulls.
        gone: Ids that are no longer given.
        replaced: Ids that had a row before or have one now.
        read_whole: Of each source that gave everything that it has: n_in, n_refused and functional, as in a build.
        functionals: Of each source.
        order: Names of the sources: of several that have an id or a structure, the first counts.
        key: Names this reading in the ledger.
    """

    changed: pa.Table
    entries: pa.Table
    gone: list[str]
    replaced: set[str]
    n_in: int
    n_same: int
    n_new: int
    n_refused: int
    read_whole: dict[str, dict[str, Any]]
    functionals: dict[str, str]
    order: list[str]
    key: str


def find_changes(
    sources: Sequence[Source], state: State, ledger: Ledger, config: BuildConfig, reading: Reading
) -> Changes:
    """Read the sources and keep what differs from the state.

    Args:
        sources: What is read.
        state: Of the published version.
        ledger: Of the database.
        config: Of the build.
        reading: Since when remote sources are asked.

    Returns:
        What is new, changed or gone.

    Raises:
        SourceError: A source fails.
    """
    import pyarrow as pa

    known = _known_rows(state)
    seen: set[str] = set()
    tables: list[pa.Table] = []
    accounts = {s.name: Counter(n_in=0, n_refused=0) for s in sources}
    shard_keys: list[str] = []
    n_refused = 0
    whole = {s.name for s in sources if reading.is_whole(s)}
    earlier = dict.fromkeys(state.entries["source"].to_pylist()) if reading.partial else {}  # most are not read now
    order = list(dict.fromkeys([*earlier, *(s.name for s in sources)]))
    owners = Owners(known, order, whole)
    for source in sources:
        shards = ingest(source, ledger, shard_rows=config.shard_rows, snapshot=config.snapshot, since=reading.since)
        shard_keys += [s.key for s in shards]
        n_read, n_broken = (sum(s.counts[n] for s in shards) for n in ("n_in", "n_refused"))
        n_before = len(seen)
        tables += _different(shards, owners, seen)
        # as a build counts them: an id that an earlier source has is refused too
        accounts[source.name].update(n_in=n_read, n_refused=n_read - (len(seen) - n_before))
        n_refused += n_broken
    raw, n_in = pa.concat_tables(tables), sum(a["n_in"] for a in accounts.values())
    cleaned = clean(raw, config.clean)
    mask = pa.array(cleaned.publishable, type=pa.bool_())
    entries = cleaned.sound.select(list(ENTRY_COLUMNS)).append_column("publishable", mask)
    standard, failed = standardise(cleaned.sound.filter(mask))
    ids = raw["material_id"].to_pylist()
    owner = dict(zip(ids, raw["source"].to_pylist(), strict=True))
    for name in (*cleaned.refused, *failed):
        accounts[owner[name]]["n_refused"] += 1
    functionals = functionals_of(sources)
    read_whole = {n: {**accounts[n], "functional": f} for n, f in functionals.items() if n in whole}
    if reading.complete:
        whole |= {s for s, _ in known.values()} - accounts.keys()  # sources that the settings no longer have
    gone = sorted(i for i, (s, _) in known.items() if s in whole and i not in seen)
    replaced = set(ids) | set(gone)
    changed = key_columns(standard, symprec=config.symprec)
    return Changes(
        changed=changed,
        entries=entries,
        gone=gone,
        replaced=replaced,
        n_in=n_in,
        n_same=n_in - n_refused - raw.num_rows,
        n_new=sum(i not in known for i in changed["material_id"].to_pylist()),
        n_refused=n_refused + len(cleaned.refused) + len(failed),
        read_whole=read_whole,
        functionals=functionals,
        order=order,
        key=content_key(shards=shard_keys, since=reading.since, complete=reading.complete),
    )


def _known_rows(state: State) -> dict[str, tuple[str, str]]:
    """Source and row hash by id; of two sources with one id the first has it."""
    known: dict[str, tuple[str, str]] = {}
    columns = ("material_id", "source", "row_hash")
    for name, owner, value in zip(*(state.entries[c].to_pylist() for c in columns), strict=True):
        known.setdefault(name, (owner, value))
    return known


@dataclass(frozen=True)
class Owners:
    """Which source's row an id names: of several sources that have it, the first in the settings.

    Attributes:
        known: Id -> source and row hash, as of the published version.
        order: Names of the sources in the order of the settings, or of the published version where few are read.
        whole: Those that give everything that they have.
    """

    known: Mapping[str, tuple[str, str]]
    order: Sequence[str]
    whole: Collection[str]

    def is_new(self, name: str, source: str, value: str) -> bool:
        """Whether a row that no earlier source gave is to be worked on: another one, or one that changes its source."""
        owner, before = self.known.get(name, (source, None))
        if owner == source:
            return before != value
        if owner not in self.order or self.order.index(owner) > self.order.index(source):
            return True
        return owner in self.whole  # it was read before this one and doesn't have the row any more


def _different(shards: Sequence[StageRecord], owners: Owners, seen: set[str]) -> Iterator[pa.Table]:
    """Rows that are not known with the same hash, shard by shard; an id that an earlier source has is left to it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for shard in shards:
        table = pq.read_table(shard.file(ROWS))
        keep = np.zeros(table.num_rows, dtype=bool)
        columns = ("material_id", "source", "row_hash")
        for i, (name, source, value) in enumerate(zip(*(table[c].to_pylist() for c in columns), strict=True)):
            keep[i] = name not in seen and owners.is_new(name, source, value)
            seen.add(name)
        yield table.filter(pa.array(keep, type=pa.bool_()))
