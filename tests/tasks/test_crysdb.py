"""The shards of a build done as tasks, in any process: the build finds every one of them in the ledger."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import tasks.crysdb
from dao_core.crysdb.build.build import build
from dao_core.crysdb.config import BuildConfig, FilesConfig, GuardSettings
from dao_core.crysdb.sources.base import SourceInterrupted
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.table import CrysTable, TableBusyError
from tasks.crysdb import build_crysdb, can_continue, ingest_sources, prepare_shard, update_crysdb
from tests.helpers.small_runs import write_dataset
from tests.helpers.structures import rocksalt

from prefect.states import Failed  # isort: skip


@pytest.fixture
def config(tmp_path: Path) -> BuildConfig:
    data = write_dataset(tmp_path / "emt.parquet", 30)
    source = FilesConfig(name="emt", paths=(data,), functional="EMT")
    return BuildConfig(sources=(source,), clean=CleanSettings(min_atoms=2), benchmarks=(), shard_rows=8, workers=1)


def test_a_build_takes_over_what_the_tasks_did(tmp_path: Path, config: BuildConfig, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    whole = build(config, tmp_path / "whole")
    folder = str(tmp_path / "mapped")
    shards = ingest_sources.fn(config, folder)
    assert len(shards) == 4
    records = [prepare_shard.fn(shard, config, folder) for shard in reversed(shards)]
    assert all(Path(r.path).is_dir() for pair in records for r in pair)
    for name in ("clean", "standardise"):  # whoever calls these now does a shard's work a second time
        monkeypatch.setattr(f"dao_core.crysdb.build.stages.{name}", None)
    assert build(config, folder).content_hash == whole.content_hash


@pytest.fixture
def told() -> Iterator[threading.Event]:
    """Set when a task says that it waits."""
    event = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: event.set() if "waiting" in record.getMessage() else None  # type: ignore[method-assign]
    logging.getLogger("tasks.crysdb").addHandler(handler)
    yield event
    logging.getLogger("tasks.crysdb").removeHandler(handler)


@pytest.mark.parametrize("step", ["ingest", "build", "update"])
def test_a_second_builder_waits_and_reads_nothing_until_then(
    tmp_path: Path, config: BuildConfig, told: threading.Event, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(tasks.crysdb, "show", lambda _: None)  # logs and artifacts need a server
    folder = str(tmp_path / "db")
    work = {
        "ingest": lambda: ingest_sources.fn(config, folder),
        "build": lambda: build_crysdb.fn(config, folder, folder=folder),
        "update": lambda: update_crysdb.fn(config, folder),  # of a database that the other one is about to make
    }[step]
    with ThreadPoolExecutor(1) as pool:
        with CrysTable(tmp_path / "db" / "table").writer():
            done = pool.submit(work)
            assert told.wait(60)
            assert not done.done()
            assert not (tmp_path / "db" / "ledger").exists()
        assert done.result()
    assert (tmp_path / "db" / "ledger").exists()


def test_a_table_that_was_taken_at_the_same_moment_is_tried_again() -> None:
    for error, again in (
        (TableBusyError("taken"), True),
        (SourceInterrupted("cut", None), True),
        (ValueError(), False),
    ):
        assert can_continue(None, None, Failed(data=error)) is again


def files(folder: Path, *pairs: tuple[str, str, float]) -> BuildConfig:
    """Settings of a database of the rock salts that lie in a folder."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for cation, anion, a in pairs:
        (folder / f"{cation}{anion}.cif").write_text(rocksalt(cation, anion, a).to_cif())
    source = FilesConfig(name="mine", paths=(folder,), functional="PBE")
    guards = GuardSettings(allow=("mine",))
    return BuildConfig(sources=(source,), clean=CleanSettings(min_atoms=2), benchmarks=(), guards=guards, workers=1)


def test_a_rebuild_publishes_what_the_newest_version_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table lies outside of the ledger: what a record says of it may be no longer true."""
    monkeypatch.setattr(tasks.crysdb, "show", lambda _: None)
    root, both = str(tmp_path / "run"), (("Na", "Cl", 5.64), ("Mg", "O", 4.21))
    table = CrysTable(tmp_path / "run" / "table")
    first = build_crysdb.fn(files(tmp_path / "data", *both), root, folder=root)
    second = build_crysdb.fn(files(tmp_path / "data", both[0]), root, folder=root)
    again = build_crysdb.fn(files(tmp_path / "data", *both), root, folder=root)
    assert [first.version, second.version, again.version, table.version] == [0, 1, 2, 2]
    assert again.key == first.key
    assert sorted(table.read()["formula_reduced"].to_pylist()) == ["MgO", "NaCl"]
    shutil.rmtree(table.path)
    anew = build_crysdb.fn(files(tmp_path / "data", *both), root, folder=root)
    assert (anew.version, anew.key, table.version) == (0, first.key, 0)


def test_the_builds_of_one_run_stay_versions_of_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A campaign that is continued finds its first database, although its second one is newer."""
    monkeypatch.setattr(tasks.crysdb, "show", lambda _: None)
    root, table = str(tmp_path / "run"), CrysTable(tmp_path / "run" / "crysdb" / "table")
    small, large = (files(tmp_path / n, ("Na", "Cl", a), ("Mg", "O", 4.21)) for n, a in (("a", 5.64), ("b", 5.7)))
    made = [build_crysdb.fn(config, root) for config in (small, large, small, large)]
    assert [record.version for record in made] == [0, 1, 0, 1]
    assert table.version == 1
    shutil.rmtree(table.path)
    assert build_crysdb.fn(small, root).key == made[0].key
    assert table.version == 0


def test_a_database_of_its_own_lies_in_the_run_s_folder(tmp_path: Path, config: BuildConfig, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(tasks.crysdb, "show", lambda _: None)  # logs and artifacts need a server
    root = str(tmp_path / "run")
    first = build_crysdb.fn(config, root, folder=root)
    assert first.path == str(tmp_path / "run" / "table")
    assert build_crysdb.fn(config, root, folder=root) == first
    (tmp_path / "run" / "table" / "_delta_log").rename(tmp_path / "aside")
    changed = config.model_copy(update={"clean": CleanSettings(min_atoms=4)})
    assert build_crysdb.fn(changed, root, folder=root).counts["n_published"] < first.counts["n_published"]
    assert (tmp_path / "run" / "ledger" / "crysdb").is_dir()  # the run's own record is not swept up by the build
