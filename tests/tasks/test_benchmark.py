"""A benchmark through the ledger: shards that are done are not repeated, the table counts every target."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dao_core.artifacts import MANIFEST
from dao_core.models.checkpoint_io import CheckpointError, load_checkpoint
from dao_core.studies.csp_benchmark import BenchmarkSettings
from flows.cli.benchmark import run_published
from tasks.benchmark import REPORT, BenchmarkRun, ModelNames, all_shards, index_stage, report_stage, shard_stage
from tests.helpers.benchmark_files import write
from tests.helpers.benchmark_targets import cesium_chloride, rocksalt

SETTINGS = BenchmarkSettings(columns=("templates",), k=2, shard_size=2, seeds=(0, 1))
TEMPLATES = ModelNames()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    train = {f"k{i}": rocksalt(a, b, e) for i, (a, b, e) in enumerate([(3, 9, 4.0), (37, 53, 7.3), (19, 17, 6.3)])}
    test = {"a": rocksalt(11, 17), "b": rocksalt(19, 35, 6.6), "c": cesium_chloride(55, 17, 4.1)}
    write(tmp_path / "perov_5/train.parquet", train)
    write(tmp_path / "perov_5/test_public.parquet", test)
    return tmp_path


def about(data: Path, root: Path, name: str = "perov-5", models: ModelNames = TEMPLATES) -> BenchmarkRun:
    return BenchmarkRun(name, data, str(root), models, SETTINGS)


def run(data: Path, root: Path) -> tuple[dict[str, object], int]:
    shared = about(data, root)
    index = index_stage(shared)
    done = [shard_stage(s, index, shared) for s in all_shards(shared)]
    record = report_stage(done, index, shared)
    return json.loads(record.file(REPORT).read_text()), len(done)


def test_mpts_52_has_a_row_for_what_mp_20_did_not_teach(tmp_path: Path) -> None:
    salts = {"a": rocksalt(11, 17), "b": rocksalt(19, 35, 6.6), "c": rocksalt(37, 53, 7.3)}
    write(tmp_path / "mp_structures.parquet", {**salts, "d": rocksalt(3, 9, 4.0)})
    write(tmp_path / "mpts_52/val.parquet", {"c": salts["c"]})
    write(tmp_path / "mpts_52/test_public.parquet", {"a": salts["a"], "b": salts["b"]})
    write(tmp_path / "mp_20/train.parquet", {"b": salts["b"]})
    shared = about(tmp_path, tmp_path / "r", "mpts-52")
    index = index_stage(shared)
    assert index.counts["n_ok"] == 1  # neither validation nor test
    table = report_stage([shard_stage(s, index, shared) for s in all_shards(shared)], index, shared)
    rows = json.loads(table.file(REPORT).read_text())["columns"]["templates"]["rows"]
    assert rows["all"]["n"] == 2
    assert rows["outside mp-20 training"]["n"] == 1
    done = [shard_stage(s, index, shared) for s in all_shards(shared)]
    write(tmp_path / "mp_20/train.parquet", salts)  # another training split: the same shards, another row
    again = json.loads(report_stage(done, index, shared).file(REPORT).read_text())["columns"]["templates"]["rows"]
    assert "outside mp-20 training" not in again
    more = {**salts, "d": rocksalt(3, 9, 4.0), "e": rocksalt(55, 17, 6.9)}
    write(tmp_path / "mp_structures.parquet", more)
    assert index_stage(shared).counts["n_ok"] == 2


def test_the_command_says_what_each_column_was_made_with(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = BenchmarkSettings(columns=("templates", "denovo", "seeded"), k=2, seeds=(0,), steps=2)
    run_published(BenchmarkRun("perov-5", data, str(tmp_path / "r"), ModelNames(), settings))
    *text, last = capsys.readouterr().out.splitlines()
    answer = json.loads(last)
    assert answer["n"] == 3
    assert list(answer["figure"]) == ["templates", "denovo", "seeded"]
    report = json.loads((Path(answer["report"]) / REPORT).read_text())
    shipped = load_checkpoint("generator").identity
    assert report["models"] == {"templates": "train templates", "denovo": shipped, "seeded": shipped}
    assert report["columns"]["denovo"]["coverage"]["de novo"] == 6
    assert report["columns"]["seeded"]["coverage"]["template"] >= 3
    assert any("most often" in line for line in text)


def test_a_wrong_generator_is_told_before_the_index_is_built(data: Path, tmp_path: Path) -> None:
    settings, models = BenchmarkSettings(columns=("denovo",)), ModelNames(generator="predictor")
    with pytest.raises(CheckpointError, match="predictor"):
        run_published(BenchmarkRun("perov-5", data, str(tmp_path / "r"), models, settings))
    assert not list((tmp_path / "r").rglob("benchmark-index"))


def test_the_table_counts_every_target_and_nothing_is_done_twice(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    report, n_pieces = run(data, root)
    assert n_pieces == 2  # templates are asked once, whatever the seeds
    assert report["n_asked"] == 3
    rows = report["columns"]["templates"]["rows"]  # type: ignore[index]
    assert rows["all"]["n"] == 3
    assert rows["all"]["mean_over_seeds"]["1"]["match_rate"] == pytest.approx(200 / 3)
    card = rows["all"]["seeds"]["0"]
    assert card["n_ok"] + card["n_failed"] == 3
    assert sum(card["misses"].values()) == 1
    before = {p: p.stat().st_mtime_ns for p in root.rglob(MANIFEST)}
    assert run(data, root)[0] == report
    assert before == {p: p.stat().st_mtime_ns for p in root.rglob(MANIFEST)}


def test_predictions_survive_the_file(data: Path, tmp_path: Path) -> None:
    from dao_core.studies.benchmark_store import load_shard

    root = tmp_path / "run"
    shared = about(data, root)
    result = load_shard(shard_stage(all_shards(shared)[0], index_stage(shared), shared))
    assert [len(row) for row in result.predicted] == [len(row) for row in result.table]
    crystal = result.predicted[0][0]
    assert crystal is not None
    assert sorted(crystal.atomic_numbers.tolist()) == [11, 17]
    assert result.metre is not None
    assert np.isfinite(result.metre[0])
