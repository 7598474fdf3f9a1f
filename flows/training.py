"""`dao train`: one training in this process, through the same code as the campaign's tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from flows.console import interruptible, live_progress, quiet_libraries
from tasks.config import load_config

Stage = Literal["stage1", "predictor", "stage2"]


def train(
    stage: Stage, config: Path, table: Path, version: int | None, root: Path, *, start: Path | None = None
) -> None:
    """Train and print where the checkpoint is. Raises CheckpointError, TableError and TrainingDataError."""
    from dao_core.training.config import TrainingConfig

    settings = load_config(config, TrainingConfig)
    quiet_libraries()
    from tasks.crysdb import open_table
    from tasks.preflight import check_training
    from tasks.training import fit_generator_stage, fit_predictor_stage

    record = open_table(table, version)
    check_training("settings", settings)
    with interruptible("the same command continues at the last checkpoint"), live_progress():
        if stage == "predictor":
            done = fit_predictor_stage(record, settings, str(root))
        else:
            view: Literal["leak_free", "relaxed"] = "leak_free" if stage == "stage1" else "relaxed"
            done = fit_generator_stage(record, settings, str(root), view=view, start_from=start)
    print(f"checkpoint: {done.file('checkpoint')}")
    for name, value in done.facts.items():
        print(f"{name}: {value}")
