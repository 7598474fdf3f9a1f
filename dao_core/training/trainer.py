"""TODO."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dao_core.training.config import TrainingConfig
from dao_core.training.distributed import in_rank, trainer_options, weights_hash
from dao_core.training.module import DaoModule, Objective, RunLog
from dao_core.training.packed import PackedCrystals, SizedBatches


def run_training(
    network: nn.Module, objective: Objective, data: PackedCrystals, config: TrainingConfig, directory: Path
) -> dict[str, Any]:
    """Train until the configured end, continuing from `directory/last` where an earlier attempt left it.

    Returns the facts of the run: steps, structures seen, seconds, last losses; `network` ends with the averaged
    weights.
    """
    import pytorch_lightning as pl

    from dao_core.training.checkpoint_plugin import SafetensorsIO, resume_path

    directory.mkdir(parents=True, exist_ok=True)
    if not torch.cuda.is_available():
        torch.set_num_threads(config.threads)
    resume = resume_path(directory)
    start = json.loads((resume_file(resume)).read_text())["dict"] if resume else []
    step = next((value for key, value in start if key == "global_step"), 0)
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)  # device lists and advertisements
    batches = SizedBatches(data, batch_size=config.batch_size, seed=config.seed, max_pairs=config.max_pairs, start=step)
    if config.compile == "auto" and torch.cuda.is_available():
        network.compile(dynamic=True)  # in place: the names of the weights stay
    module = DaoModule(network, objective, config, batches)
    precision = config.precision
    if precision == "auto":  # bf16 is some sixty times slower than fp32 on CPUs without it
        precision = "bf16-mixed" if torch.cuda.is_available() else "32"
    trainer = pl.Trainer(
        max_steps=config.max_steps or -1,
        max_epochs=-1,
        accelerator="auto",
        **trainer_options(),
        precision="32-true" if precision == "32" else "bf16-mixed",
        plugins=[SafetensorsIO()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[RunLog(directory, every_s=15.0, checkpoint_every_s=config.checkpoint_every_s)],
    )
    trainer.fit(module, ckpt_path=str(directory / "last") if resume else None, weights_only=True)
    with torch.no_grad():
        for name, p in network.named_parameters():
            p.copy_(module.average.weights[name])
    losses = {name: float(value) for name, value in getattr(module, "last_losses", {}).items()}
    together = {"ranks": trainer.world_size, "weights": weights_hash(network)} if in_rank() else {}
    return {
        **together,
        "steps": trainer.global_step,
        "bad_steps": module.bad_steps,
        "structures": module.structures,
        "seconds": round(module.elapsed_s, 1),
        "last_losses": losses,
    }


def resume_file(directory: Path) -> Path:
    """The JSON part of a resume state, also where a kill left only the previous one."""
    current = directory / "state.json"
    return current if current.exists() else directory.with_name("last.old") / "state.json"
