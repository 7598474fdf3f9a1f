"""The flow `validate-dft`: the best candidates of a screening through Quantum ESPRESSO."""

from __future__ import annotations

from dataclasses import asdict

from tasks.config import ValidateConfig
from tasks.dft import (
    NothingValidatedError,
    ValidationSummary,
    choose_best,
    collect_rows,
    show_in_page,
    validate_candidate,
)
from tasks.prefect_api import flow
from tasks.preflight import start_run

RERUN = "prefect deployment run validate-dft/validate-dft"


@flow(name="validate-dft", flow_run_name="{config.name}")
def validate_dft(config: ValidateConfig, command: str = RERUN) -> list[ValidationSummary]:
    """Take candidates through pw.x, one task each; the flow fails only when all calculations do.

    Args:
        config: Which candidates, and at which level.
        command: What continues it.

    Returns:
        A summary of each.
    """
    with start_run(config, command).watch() as run:
        chosen = run.step("choose", choose_best, str(config.candidates), config.handoff)
        summaries = run.step_each("pw.x", validate_candidate, chosen, config.handoff, str(run.root))
        rows = run.step("rows for CrysDB", collect_rows, config.handoff, str(run.root))
        run.step(
            "first principles in the page", show_in_page, summaries, str(config.candidates.with_name("index.html"))
        )
        failed = bool(summaries) and all(v.status != "validated" for v in summaries)
        error = f"none of {len(summaries)} candidates could be validated: {summaries[0].message}" if failed else None
        summary = {"validations": [f"{v.formula}: {v.status}" for v in summaries], "rows": asdict(rows)}
        run.finish("failed" if failed else "completed", error=error, summary=summary)
    if error is not None:
        raise NothingValidatedError(error)
    return summaries
