"""`dao benchmark`: the list, a small real benchmark from the command line, mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.run_log import find_runs
from tests.helpers.benchmark_files import write
from tests.helpers.benchmark_targets import perovskite, rocksalt
from tests.helpers.cli import dao


def test_the_list_names_benchmarks_and_scripts() -> None:
    out = dao("benchmark").stdout
    for name in ("mp-20", "carbon-24", "ranking"):
        assert name in out


def test_help_is_the_command_s_and_after_a_name_the_benchmark_s() -> None:
    assert "without a name, list them" in " ".join(dao("benchmark", "--help").stdout.split())
    assert "--columns" in dao("benchmark", "perov-5", "--help").stdout


def test_a_benchmark_of_templates_runs(tmp_path: Path) -> None:
    write(tmp_path / "perov_5/train.parquet", {"k": rocksalt(3, 9, 4.0), "l": rocksalt(37, 53, 7.3)})
    write(tmp_path / "perov_5/test_public.parquet", {"a": rocksalt(11, 17)})
    result = dao(
        "benchmark", "perov-5", "--data", ".", "--columns", "templates", "--k", "1", "--root", "r", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    last = json.loads(result.stdout.strip().splitlines()[-1])
    assert last["figure"] == {"templates": {"1": 100.0}}
    assert last["n"] == 1
    assert "1 of 1 targets" in result.stdout
    ((_, state),) = find_runs(tmp_path)
    assert (state["name"], state["status"]) == ("benchmark-perov-5", "completed")


def test_as_json_figures_have_every_digit(tmp_path: Path) -> None:
    write(tmp_path / "perov_5/train.parquet", {"k": rocksalt(3, 9, 4.0), "l": rocksalt(37, 53, 7.3)})
    write(tmp_path / "perov_5/test_public.parquet", {"a": rocksalt(11, 17), "b": rocksalt(19, 35), "c": perovskite()})
    options = ("--data", ".", "--columns", "templates", "--k", "1", "--root", "r")
    result = dao("benchmark", "perov-5", *options, "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    row = json.loads(result.stdout)["tables"][0]["rows"][0]
    assert (row["column"], row["targets"], row["n"], row["n_seeds"]) == ("templates", "all", 3, 1)
    assert row["mean_over_seeds"]["1"]["match_rate"] == pytest.approx(200 / 3, abs=1e-9)
    last = json.loads(result.stderr.strip().splitlines()[-1])
    assert last["figure"]["templates"]["1"] == row["mean_over_seeds"]["1"]["match_rate"]
    kept = json.loads((Path(tmp_path / last["report"]) / "report.json").read_text())["columns"]["templates"]["rows"]
    assert row["first_seed"] == kept["all"]["seeds"]["0"]


def test_the_templates_that_ship_find_what_the_training_split_lacks(tmp_path: Path) -> None:
    write(tmp_path / "perov_5/train.parquet", {"p": perovskite()})
    write(tmp_path / "perov_5/test_public.parquet", {"a": rocksalt(11, 17)})
    rates = []
    for which in ("train", "shipped"):
        options = ("--data", ".", "--columns", "templates", "--k", "5", "--root", "r", "--templates", which)
        result = dao("benchmark", "perov-5", *options, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        rates.append(json.loads(result.stdout.strip().splitlines()[-1])["figure"]["templates"]["5"])
    assert rates == [0.0, 100.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mp-21",), "no benchmark 'mp-21': use one of mp-20"),
        (("mp-20", "--data", "nowhere"), "test_public.parquet is missing"),
        (("mp-20", "--columns", "baseline"), "needs --baseline CHECKPOINT"),
        (("mp-20", "--columns", "oracle"), "settings: columns.0: Input should be"),
        (("mp-20", "--seeds", "a"), "'a' is no list of whole numbers"),
        (("mp-20", "--bogus"), "No such option: --bogus"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = dao("benchmark", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_the_flow_s_parameters_load() -> None:
    from flows.benchmark import benchmark_structures
    from tasks.config import BenchmarkConfig

    config = {"name": "b", "root": "r", "benchmark": "mp-20", "data": "d", "settings": {"k": 5}}
    assert BenchmarkConfig.model_validate(config).settings.k == 5
    assert "config" in benchmark_structures.parameters.properties
