"""The flow `validate-dft`: the best candidates of a screening through Quantum ESPRESSO."""

from __future__ import annotations

from dataclasses import asdict

from tasks.config import ValidateConfig
from tasks.dft import NothingValidatedError, Verdict, choose_best, store_rows, validate_candidate
from tasks.prefect_api import flow
from tasks.preflight import start_run

RERUN = "prefect deployment run validate-dft/validate-dft"


@flow(name="validate-dft", flow_run_name="{config.name}")
def validate_dft(config: ValidateConfig, command: str = RERUN) -> list[Verdict]:
    """One task a candidate; a failed calculation is a status, and the flow fails only when all of them do."""
    with start_run(config, command).watch() as run:
        chosen = run.step("choose", choose_best, str(config.candidates), config.handoff)
        verdicts = run.step_each("pw.x", validate_candidate, chosen, config.handoff, str(run.root))
        stored = run.step("rows for CrysDB", store_rows, config.handoff, str(run.root))
        failed = bool(verdicts) and all(v.status != "validated" for v in verdicts)
        error = f"none of {len(verdicts)} candidates could be validated: {verdicts[0].message}" if failed else None
        summary = {"verdicts": [f"{v.formula}: {v.status}" for v in verdicts], "rows": asdict(stored)}
        run.finish("failed" if failed else "completed", error=error, summary=summary)
    if error is not None:
        raise NothingValidatedError(error)
    return verdicts
