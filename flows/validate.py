"""The flow `validate-dft`: the best candidates of a screening through Quantum ESPRESSO."""

from __future__ import annotations

from tasks.config import ValidateConfig
from tasks.dft import Verdict, choose_best, validate_candidate
from tasks.engine import flow
from tasks.runs import start_run

RERUN = "prefect deployment run validate-dft/validate-dft"


@flow(name="validate-dft", flow_run_name="{config.name}")
def validate_dft(config: ValidateConfig, command: str = RERUN) -> list[Verdict]:
    """One task a candidate; a failed calculation is a status, and the flow fails only when all of them do."""
    with start_run(config, command).watch() as run:
        chosen = run.step("choose", choose_best, str(config.candidates), config.handoff)
        verdicts = run.step_each("pw.x", validate_candidate, chosen, config.handoff, str(run.root))
        if verdicts and all(v.status != "validated" for v in verdicts):
            raise RuntimeError(f"none of {len(verdicts)} candidates could be validated: {verdicts[0].message}")
        run.finish("completed", summary={"verdicts": [f"{v.formula}: {v.status}" for v in verdicts]})
    return verdicts
