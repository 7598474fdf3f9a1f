"""The flow `benchmark-structures`: every column of a benchmark on a published split, shard by shard."""

from __future__ import annotations

from dao_core.artifacts import StageRecord
from tasks.benchmark import Names, build_index, models_used, predict_shard, tabulate, works
from tasks.config import BenchmarkConfig
from tasks.prefect_api import flow
from tasks.preflight import start_run

RERUN = "prefect deployment run benchmark-structures/benchmark-structures"


@flow(name="benchmark-structures", flow_run_name="{config.name}")
def benchmark_structures(config: BenchmarkConfig, command: str = RERUN) -> StageRecord:
    """Predict, compare, tabulate; returns the record of the table."""
    root, settings = str(config.root), config.settings
    names = Names(config.generator, config.baseline, config.potential, config.templates)
    models_used(names, settings)  # a wrong name is told before the index is built
    with start_run(config, command).watch() as run:
        index = run.step("build index", build_index, config.data, config.benchmark, root)
        pieces = works(config.data, config.benchmark, settings)
        done = run.step_each(
            "predict shards", predict_shard, pieces, config.data, config.benchmark, index, names, settings, root
        )
        table = run.step("tabulate", tabulate, done, config.data, config.benchmark, index, names, settings, root)
        run.finish("completed", summary=table.facts)
    return table
