"""The flow `study`: one of the paper's studies, part by part; which one is a matter of its settings."""

from __future__ import annotations

from dao_core.artifacts import StageRecord
from tasks.config import StudyConfig
from tasks.prefect_api import flow
from tasks.preflight import start_run
from tasks.studies import measure_part, parts_of, prepare_study, report_study

RERUN = "prefect deployment run study/study"


@flow(name="study", flow_run_name="{config.name}")
def study(config: StudyConfig, command: str = RERUN) -> StageRecord:
    """Prepare, measure every part, report.

    Args:
        config: Which study, with what settings.
        command: What repeats it, for the run log.

    Returns:
        The record of the report.
    """
    settings, root = config.study, str(config.root)
    with start_run(config, command).watch() as run:
        prepared = run.step("prepare", prepare_study, settings, root)
        done = run.step_each("measure", measure_part, parts_of(prepared, settings), prepared, settings, root)
        report = run.step("report", report_study, done, prepared, settings, root)
        run.finish("completed", summary=report.facts)
    return report
