from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dao_core.artifacts import Ledger
from dao_core.crysdb.build.ingest import REFUSED, ROWS, ingest, read_jsonl, source_identity, with_row_hashes
from dao_core.crysdb.schema import records_to_table
from dao_core.crysdb.sources.base import Refusal, SourceError, SourceItem
from tests.helpers.records import ListSource, perovskite, record, rocksalt


def many(count: int) -> ListSource:
    return ListSource([record(f"r{i}", rocksalt(), -float(i)) for i in range(count)])


def test_shards_hold_every_row_once(tmp_path: Path) -> None:
    shards = ingest(many(10), Ledger(tmp_path), shard_rows=4)
    assert [s.counts["n_in"] for s in shards] == [4, 4, 2]
    ids = [i for s in shards for i in pq.read_table(s.file(ROWS))["material_id"].to_pylist()]
    assert ids == [f"r{i}" for i in range(10)]


def test_the_source_is_opened_once(tmp_path: Path) -> None:
    source = many(10)
    ingest(source, Ledger(tmp_path), shard_rows=3)
    assert source.read == 10


class Failing(ListSource):
    """Breaks off before row `at`, as a connection does."""

    at = 7

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:
        for item in super().iter_records(since, cursor):
            if item.cursor == str(self.at + 1):
                raise SourceError("connection lost: run it again")
            yield item


def test_a_broken_reading_goes_on_at_the_last_whole_shard(tmp_path: Path) -> None:
    broken = Failing(many(10).values)
    with pytest.raises(SourceError, match="run it again"):
        ingest(broken, Ledger(tmp_path), shard_rows=3)
    whole = many(10)
    shards = ingest(whole, Ledger(tmp_path), shard_rows=3)
    assert whole.read == 4  # rows 6 to 9
    assert sum(s.counts["n_in"] for s in shards) == 10


def test_repeats_and_misfits_are_refused_and_counted(tmp_path: Path) -> None:
    misfit = record("odd", rocksalt())
    misfit.frac_coords = np.zeros((3, 3))
    alien = record("alien", rocksalt())
    alien.atomic_numbers = np.array([11, 120])
    values = [*many(4).values, Refusal("row 5", "why"), misfit, alien, record("r1", perovskite())]
    shards = ingest(ListSource(values), Ledger(tmp_path), shard_rows=3)
    refused = {r["row"]: r["reason"] for s in shards for r in read_jsonl(s.file(REFUSED))}
    assert set(refused) == {"row 5", "odd", "alien", "r1"}
    assert refused["r1"] == "id given twice"
    assert "120" in refused["alien"]
    assert sum(s.counts["n_in"] for s in shards) == 8
    assert sum(s.counts["n_refused"] for s in shards) == 4


def test_a_sources_own_values_move_to_their_columns(tmp_path: Path) -> None:
    given = record("a", rocksalt(), formation_energy_per_atom=-2.0, e_above_hull=0.3)
    table = pq.read_table(ingest(ListSource([given]), Ledger(tmp_path), shard_rows=5)[0].file(ROWS))
    assert table["formation_energy_per_atom_source"].to_pylist() == [-2.0]
    assert table["e_above_hull_source"].to_pylist() == [0.3]
    assert table["ingested_at"].null_count == 0


def test_row_hashes_follow_what_a_row_says() -> None:
    base, same = record("a", rocksalt(), -3.0), record("b", rocksalt(), -3.0)
    moved = record("c", rocksalt().replace(frac_coords=[[0, 0, 0], [0.5, 0.5, 0.51]]), -3.0)
    energy, functional = record("d", rocksalt(), -3.1), record("e", rocksalt(), -3.0, functional="SCAN")
    hashes = with_row_hashes(records_to_table([base, same, moved, energy, functional]))["row_hash"].to_pylist()
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4


def test_identity_of_sources_without_a_version() -> None:
    source = many(2)
    source.fingerprint = None  # type: ignore[assignment,method-assign]
    source.version = None
    assert source_identity(source, "monday") == source_identity(source, "monday")
    assert source_identity(source, "monday") != source_identity(source, "tuesday")
    source.version = "2025.09"
    assert source_identity(source, "monday") == source_identity(source, "tuesday")
