"""The flow `validate-dft`: the best candidates of a screening through Quantum ESPRESSO."""

from __future__ import annotations

from pathlib import Path

from tasks.config import HandOff, RunSettings
from tasks.dft import Verdict, choose_best, validate_candidate
from tasks.engine import flow, flow_run_id
from tasks.journal import Journal

RERUN = "prefect deployment run validate-dft/validate-dft"


class ValidateConfig(RunSettings):
    """Whose candidates, how many, and how pw.x runs."""

    candidates: Path
    handoff: HandOff = HandOff(when="always", top=3)


@flow(name="validate-dft", flow_run_name="{config.name}")
def validate_dft(config: ValidateConfig, command: str = RERUN) -> list[Verdict]:
    """One task a candidate; a failed calculation is a status, and the flow fails only when all of them do."""
    root = str(config.root)
    with Journal(config.root, name=config.name, command=command, flow_run_id=flow_run_id()).watch() as run:
        chosen = run.step("choose", choose_best, str(config.candidates), config.handoff)
        verdicts = run.step_each("pw.x", validate_candidate, chosen, config.handoff, root)
        run.finish("completed", summary={"verdicts": [f"{v.formula}: {v.status}" for v in verdicts]})
    if verdicts and all(v.status != "validated" for v in verdicts):
        raise RuntimeError(f"none of {len(verdicts)} candidates could be validated; the first: {verdicts[0].message}")
    return verdicts
