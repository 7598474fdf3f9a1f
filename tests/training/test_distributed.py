"""Two processes over gloo, from the settings alone: they end with the same weights, and the checkpoint holds them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from dao_core.models.build import build_network
from dao_core.models.checkpoint_io import load_checkpoint, weights_hash
from dao_core.training.config import TrainingConfig
from dao_core.training.distributed import RanksError, is_main_rank
from dao_core.training.job import TrainingJob
from dao_core.training.packed import Batch
from dao_core.training.trainer import run_training
from tests.helpers.training import TINY, data, train

slow = pytest.mark.slow


@slow
def test_two_ranks_train_one_network(tmp_path: Path) -> None:
    facts = train(tmp_path, ranks=2, max_steps=6, checkpoint_every_s=0.01)
    assert (facts["ranks"], facts["steps"]) == (2, 6)
    network = load_checkpoint(tmp_path / "checkpoint", kind="generator").network
    assert weights_hash(network) == facts["weights"]
    alone = train(tmp_path / "alone", max_steps=6)
    assert facts["structures"] > alone["structures"]  # type: ignore[operator]
    assert (
        weights_hash(load_checkpoint(tmp_path / "alone" / "checkpoint", kind="generator").network) != facts["weights"]
    )

    more = train(tmp_path, ranks=2, max_steps=9)  # continues from the resume state that both ranks read
    assert (more["ranks"], more["steps"]) == (2, 9)


def broken(_: nn.Module, __: Batch, ___: torch.Generator) -> dict[str, torch.Tensor]:
    raise ValueError("no loss today")


@slow
def test_ranks_that_fail_say_why(tmp_path: Path) -> None:
    config = TrainingConfig(**{**TINY, "ranks": 2, "max_steps": 2})
    with pytest.raises(RanksError, match="2 ranks ended: ValueError: no loss today"):
        run_training(TrainingJob(build_network(config.model), broken, data(), tmp_path), config)


def test_settings_of_the_old_launcher_are_read_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match="launch, rendezvous: no longer read"):
        config = TrainingConfig(**{**TINY, "nodes": 2, "rendezvous": "node-0:29500", "launch": "srun"})
    assert config.nodes == 2


def test_only_the_first_of_several_processes_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_main_rank()
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert not is_main_rank()
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert is_main_rank()
