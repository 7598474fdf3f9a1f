"""Reading a source to its end, through the faults of a real server."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dao_core.crysdb.sources.base import SourceInterrupted
from dao_core.crysdb.sources.http import HttpReport, PoliteSession
from dao_core.crysdb.sources.oqmd import OqmdSource
from dao_core.crysdb.sources.settings import OqmdConfig
from dao_core.library import collect as library_collect
from dao_core.library.add import add_source
from dao_core.library.collect import READING, collect, collected, publish, source_file
from dao_core.library.folder import Library, LibraryError, open_library
from tests.crysdb.sources.conftest import FAST
from tests.peers.entries import entries
from tests.peers.proxy import Fault, FaultProxy


def source(peer: FaultProxy) -> OqmdSource:
    config = OqmdConfig(base_url=peer.url, page=4, release="1.7")
    return OqmdSource(config, session=PoliteSession(FAST, HttpReport(), sleep=lambda _: None))


def test_a_server_that_stops_at_sixty_percent_is_gone_on_with(
    oqmd: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library_collect, "ROWS_A_SHARD", 5)
    oqmd.reset(Fault(skip=4, times=10**6, drop=True))
    with pytest.raises(SourceInterrupted):
        collect(source(oqmd), tmp_path, description="OQMD", origin=oqmd.url)
    assert collected(tmp_path) == []
    oqmd.reset()
    found = collect(source(oqmd), tmp_path, description="OQMD", origin=oqmd.url)
    full_rows = [p for p in oqmd.log if "delta_e" in p]
    assert len(full_rows) < 7  # pages of 4 for 25 rows would be 7: the first ones were not read again
    assert found.source.n_read == len(entries())
    assert collect(source(oqmd), tmp_path, description="OQMD", origin=oqmd.url) == found
    assert len([p for p in oqmd.log if "delta_e" in p]) == len(
        full_rows
    )  # a finished reading is there until it is used
    assert collected(tmp_path) == []
    publish(found, tmp_path)
    assert collected(tmp_path) == [found.source]
    assert sorted(pq.read_table(source_file(tmp_path, "oqmd"))["material_id"].to_pylist()) == sorted(
        f"oqmd-{e.number}" for e in entries()
    )
    assert not list((tmp_path / READING).rglob("rows.parquet"))  # the next reading starts anew


@pytest.mark.peers
def test_a_provider_joins_the_library_without_a_key(library: Library, optimade: FaultProxy) -> None:
    made = add_source("cod", library.folder, base_url=optimade.url)
    assert [s.name for s in made.sources] == ["delta-elements", "oqmd-icsd", "cod", "aflow-encyclopedia", "amcsd"]
    assert made.n_structures > library.n_structures


def test_a_provider_that_is_not_there_leaves_the_library_as_it_was(
    library: Library, oqmd: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    oqmd.reset(Fault(times=10**6, status=404))
    with pytest.raises(LibraryError, match="run the same command again"):
        add_source("alexandria", library.folder, base_url=oqmd.url)
    found = open_library(library.folder)
    assert found is not None
    assert found.content == library.content
