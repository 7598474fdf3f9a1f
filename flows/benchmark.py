"""The flow `benchmark-structures`: every column of a benchmark on a published split, shard by shard."""

from __future__ import annotations

from dao_core.artifacts import StageRecord
from tasks.benchmark import BenchmarkRun, ModelNames, all_shards, build_index, models_used, predict_shard, tabulate
from tasks.config import BenchmarkConfig
from tasks.prefect_api import flow
from tasks.preflight import start_run

RERUN = "prefect deployment run benchmark-structures/benchmark-structures"


@flow(name="benchmark-structures", flow_run_name="{config.name}")
def benchmark_structures(config: BenchmarkConfig, command: str = RERUN) -> StageRecord:
    """Predict, compare, tabulate.

    Args:
        config: Of the benchmark.
        command: What continues it.

    Returns:
        The record of the table.
    """
    models = ModelNames(config.generator, config.baseline, config.potential, config.templates)
    shared = BenchmarkRun(config.benchmark, config.data, str(config.root), models, config.settings)
    models_used(shared)  # a wrong name is told before the index is built
    with start_run(config, command).watch() as run:
        index = run.step("build index", build_index, shared)
        done = run.step_each("predict shards", predict_shard, all_shards(shared), index, shared)
        table = run.step("tabulate", tabulate, done, index, shared)
        run.finish("completed", summary=table.facts)
    return table
