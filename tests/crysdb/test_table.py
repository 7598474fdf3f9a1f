from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest

from dao_core.crysdb.schema import records_to_table, table_to_records
from dao_core.crysdb.table import CrysTable, TableBusyError, TableError, write_records
from tests.helpers.records import perovskite, record, rocksalt, salt_records


def test_publish_read_and_time_travel(tmp_path: Path) -> None:
    table = write_records(tmp_path / "table", salt_records(), facts={"build": "first"})
    assert table.version == 0
    with table.writer():
        assert table.publish(records_to_table(salt_records()[:2]), facts={"build": "second"}) == 1
    assert table.read().num_rows == 2
    assert table.read(version=0).num_rows == 6
    assert (table.facts()["build"], table.facts(0)["build"]) == ("second", "first")
    assert [entry["version"] for entry in table.history()] == [1, 0]


def test_values_survive(tmp_path: Path) -> None:
    given = record("a", perovskite(), -7.0, forces=np.ones((5, 3)), leaks_into=["x:structure"])
    back = table_to_records(write_records(tmp_path / "t", [given]).read())[0]
    assert np.array_equal(back.frac_coords, given.frac_coords)
    assert np.array_equal(back.lattice, given.lattice)
    assert np.array_equal(back.forces, given.forces)
    assert back.leaks_into == ["x:structure"]


def test_streamed_publish_is_one_version(tmp_path: Path) -> None:
    table = CrysTable(tmp_path / "table")
    parts = (records_to_table([record(f"r{i}", rocksalt())]) for i in range(5))
    with table.writer():
        assert table.publish(parts) == 0
    assert sorted(table.read(["material_id"])["material_id"].to_pylist()) == [f"r{i}" for i in range(5)]
    assert sum(part.num_rows for part in table.batches(["material_id"], rows=2)) == 5


def test_columns_and_filters(tmp_path: Path) -> None:
    table = write_records(tmp_path / "table", salt_records())
    out = table.read(columns=["material_id", "lattice"], filters=[("n_atoms", ">", 2)])
    assert out["material_id"].to_pylist() == ["test-perovskite"]
    assert len(out["lattice"][0]) == 9


def test_upsert_replaces_adds_and_deletes_in_one_version(tmp_path: Path) -> None:
    table = write_records(tmp_path / "table", salt_records())
    changed = [record("test-salt", rocksalt(), -9.0), record("new", perovskite("Ba"), -7.5, leaks_into=["b:polymorph"])]
    with table.writer():
        assert table.upsert(records_to_table(changed), delete=["test-Na", "never-there"], facts={"k": 1}) == 1
    rows = {r.material_id: r for r in table_to_records(table.read())}
    assert len(rows) == 6
    assert "test-Na" not in rows
    assert rows["test-salt"].energy_per_atom == -9.0
    assert rows["new"].leaks_into == ["b:polymorph"]
    assert rows["test-Cl"].energy_per_atom == -1.8
    assert table.facts()["k"] == 1


def test_upsert_into_nothing_publishes(tmp_path: Path) -> None:
    table = CrysTable(tmp_path / "table")
    with table.writer():
        assert table.upsert(records_to_table(salt_records())) == 0


def test_a_folder_may_have_a_space_and_letters_beyond_ascii(tmp_path: Path) -> None:
    table = write_records(tmp_path / "\u00e4 b" / "table", salt_records())
    with table.writer():
        assert table.upsert(records_to_table([record("new", perovskite("Ba"), -7.5)])) == 1
        table.seal()
    table.check()
    assert all(path.is_file() for path in table.files())
    assert table.unsealed() == ([], [])
    assert table.read().num_rows == len(salt_records()) + 1


@pytest.mark.parametrize("name", ["a[1]", "a#b", "a%20b", "a|b"])
def test_a_folder_that_cannot_hold_a_table_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    table = CrysTable(tmp_path / name / "table")
    with pytest.raises(TableError, match="choose a path without"), table.writer():
        pytest.fail("the work began")
    assert not (tmp_path / name).exists()


def test_missing_table_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="dao crysdb build"):
        CrysTable(tmp_path / "none").read()
    table = write_records(tmp_path / "table", salt_records())
    with pytest.raises(TableError, match="version 7"):
        table.read(version=7)


def _hold(path: str, ready: object, done: object) -> None:
    with CrysTable(path).writer():
        ready.set()  # type: ignore[attr-defined]
        done.wait(30)  # type: ignore[attr-defined]


def test_second_writer_is_refused_and_reader_is_not(tmp_path: Path) -> None:
    table = write_records(tmp_path / "table", salt_records())
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(table.path), ready, done))
    holder.start()
    try:
        assert ready.wait(30)
        with pytest.raises(TableBusyError, match="another process"), table.writer():
            pass
        assert table.read().num_rows == 6
    finally:
        done.set()
        holder.join(30)
    with table.writer():
        pass


def test_vacuum_drops_old_versions_only(tmp_path: Path) -> None:
    table = write_records(tmp_path / "table", salt_records())
    with table.writer():
        table.publish(records_to_table(salt_records()[:1]))
    assert table.read(version=0).num_rows == 6
    assert table.vacuum(retention_hours=24) == []
    assert table.read(version=0).num_rows == 6
    assert len(table.vacuum(retention_hours=0)) > 0
    assert table.read().num_rows == 1
    with pytest.raises((TableError, FileNotFoundError, OSError)):
        table.read(version=0)


def test_a_vacuum_makes_no_version_and_what_is_recorded_with_the_newest_stays(tmp_path: Path) -> None:
    table = write_records(tmp_path / "table", salt_records())
    with table.writer():
        table.publish(records_to_table(salt_records()[:1]), facts={"content_hash": "abc"})
    assert table.vacuum(retention_hours=0)
    assert (table.version, table.facts()) == (1, {"content_hash": "abc"})


def test_versions_of_long_ago_stay_until_a_vacuum(tmp_path: Path) -> None:
    from deltalake import DeltaTable

    table = write_records(tmp_path / "table", salt_records(), facts={"content_hash": "first"})
    DeltaTable(table.path).alter.set_table_properties({"delta.checkpointInterval": "2"})  # by default after 100
    long_ago = time.time() - 60 * 86400
    for number in range(6):
        for file in (table.path / "_delta_log").iterdir():
            os.utime(file, (long_ago, long_ago))
        with table.writer():
            table.publish(records_to_table(salt_records()[:1]), facts={"content_hash": str(number)})
    assert table.facts(0) == {"content_hash": "first"}
    assert table.read(version=0).num_rows == 6


def test_a_reader_keeps_its_version_while_a_new_one_is_published(tmp_path: Path) -> None:
    table = write_records(tmp_path / "table", [record(f"r{i}", rocksalt()) for i in range(50)])
    reader = table.batches(["material_id"], rows=10)
    first = next(reader)
    with table.writer():
        table.publish(records_to_table([record("other", rocksalt())]))
    seen = first["material_id"].to_pylist() + [i for part in reader for i in part["material_id"].to_pylist()]
    assert sorted(seen) == sorted(f"r{i}" for i in range(50))


def damaged(root: Path, kind: str) -> None:
    data = next((root / "table").glob("*.parquet"))
    log = sorted((root / "table" / "_delta_log").glob("*.json"))[-1]
    if kind == "missing file":
        data.unlink()
    elif kind == "changed byte":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    elif kind == "cut file":
        data.write_bytes(data.read_bytes()[:-100])
    elif kind == "cut log":
        log.write_bytes(log.read_bytes()[:-60])
    elif kind == "log of something else":
        log.write_text("<html>")
    else:
        log.unlink()


@pytest.mark.parametrize(
    "kind", ["missing file", "changed byte", "cut file", "cut log", "log of something else", "empty log folder"]
)
def test_a_build_or_an_update_on_a_damaged_table_says_so_and_stops(tmp_path: Path, kind: str) -> None:
    from dao_core.crysdb.build.build import build
    from dao_core.crysdb.build.update import update
    from dao_core.crysdb.config import BuildConfig
    from dao_core.crysdb.steps.clean import CleanSettings
    from tests.helpers.records import ListSource

    config = BuildConfig(clean=CleanSettings(min_atoms=2), workers=1, benchmarks=())
    build(config, tmp_path, sources=[ListSource(salt_records())])
    damaged(tmp_path, kind)
    before = {p.name: p.read_bytes() for p in (tmp_path / "table").rglob("*") if p.is_file()}
    for work in (build, update):
        with pytest.raises(TableError, match="remove the table's folder and build again"):
            work(config, tmp_path, sources=[ListSource(salt_records())])
    assert {p.name: p.read_bytes() for p in (tmp_path / "table").rglob("*") if p.is_file()} == before
