"""The flow `benchmark-structures`: templates, generator and baseline on a published split, shard by shard."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dao_core.artifacts import StageRecord
from dao_core.studies.csp_benchmark import BenchmarkSettings
from tasks.benchmark import Names, build_index, models_used, predict_shard, tabulate, works
from tasks.config import RunSettings
from tasks.prefect_api import flow, flow_run_id
from tasks.run_log import Journal

RERUN = "prefect deployment run benchmark-structures/benchmark-structures"


class BenchmarkConfig(RunSettings):
    """Which benchmark, on which data, with which models."""

    benchmark: Literal["mp-20", "mpts-52", "perov-5", "carbon-24"]
    data: Path
    generator: str = "generator"
    baseline: str | None = None
    potential: str = "dao"
    templates: Literal["train", "shipped"] = "train"
    settings: BenchmarkSettings = BenchmarkSettings()


@flow(name="benchmark-structures", flow_run_name="{config.name}")
def benchmark_structures(config: BenchmarkConfig, command: str = RERUN) -> StageRecord:
    """Predict, compare, tabulate; returns the record of the table."""
    root, settings = str(config.root), config.settings
    names = Names(config.generator, config.baseline, config.potential, config.templates)
    models_used(names, settings)  # a wrong name is told before the index is built
    with Journal(config.root, name=config.name, command=command, flow_run_id=flow_run_id()).watch() as run:
        index = run.step("build index", build_index, config.data, config.benchmark, root)
        pieces = works(config.data, config.benchmark, settings)
        done = run.step_each(
            "predict shards", predict_shard, pieces, config.data, config.benchmark, index, names, settings, root
        )
        table = run.step("tabulate", tabulate, done, config.data, config.benchmark, index, names, settings, root)
        run.finish("completed", summary=table.facts)
    return table
