"""The shards of a build done as tasks, in any process: the build finds every one of them in the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from dao_core.crysdb.build.build import build
from dao_core.crysdb.config import BuildConfig, FilesConfig
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.table import CrysTable, TableBusyError
from tasks.crysdb import build_crysdb, ingest_sources, prepare_shard
from tests.helpers.small_runs import write_dataset


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


def test_a_second_builder_is_told_before_it_reads_anything(tmp_path: Path, config: BuildConfig) -> None:
    with CrysTable(tmp_path / "db" / "table").writer(), pytest.raises(TableBusyError, match="another process"):
        ingest_sources.fn(config, str(tmp_path / "db"))
    assert not (tmp_path / "db" / "ledger").exists()


def test_a_database_of_its_own_lies_in_the_run_s_folder(tmp_path: Path, config: BuildConfig, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    import tasks.crysdb

    monkeypatch.setattr(tasks.crysdb, "show", lambda _: None)  # logs and artifacts need a server
    root = str(tmp_path / "run")
    first = build_crysdb.fn(config, root, folder=root)
    assert first.path == str(tmp_path / "run" / "table")
    assert build_crysdb.fn(config, root, folder=root) == first
    (tmp_path / "run" / "table" / "_delta_log").rename(tmp_path / "aside")
    changed = config.model_copy(update={"clean": CleanSettings(min_atoms=4)})
    assert build_crysdb.fn(changed, root, folder=root).counts["n_published"] < first.counts["n_published"]
    assert (tmp_path / "run" / "ledger" / "crysdb").is_dir()  # the run's own record is not swept up by the build
