"""Training with several processes, by Lightning's own launcher: one rank a GPU over NCCL, or CPU processes over gloo.

On one machine Lightning starts the ranks. On several the processes are started from outside, by `srun` or `torchrun`
around the whole command, as with any Lightning program; only the first of them writes to the ledger.
"""

from __future__ import annotations

import os
from typing import Any

import torch

from dao_core.training.config import TrainingConfig


class RanksError(RuntimeError):
    """A training whose ranks ended with an error or with different weights; the message says which."""


def started_from_outside() -> bool:
    """Whether torchrun or Slurm started this process as one of several that train together."""
    return "TORCHELASTIC_RUN_ID" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) > 1


def is_main_rank() -> bool:
    """Whether this process writes results: the first of those started from outside, or the only one."""
    return not started_from_outside() or os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def trainer_options(config: TrainingConfig) -> dict[str, Any]:
    """What Lightning needs to know of the ranks.

    Args:
        config: Says how many processes a machine and how many machines.

    Returns:
        Keyword arguments of `Trainer`: devices, nodes and strategy.
    """
    if config.ranks * config.nodes == 1:
        return {"devices": 1}
    from pytorch_lightning.strategies import DDPStrategy

    backend = "nccl" if torch.cuda.is_available() else "gloo"
    start = "popen" if started_from_outside() else "spawn"
    strategy = DDPStrategy(process_group_backend=backend, find_unused_parameters=True, start_method=start)
    return {"devices": config.ranks, "num_nodes": config.nodes, "strategy": strategy}
