"""Two processes over gloo, from the settings alone: they end with the same weights, and the checkpoint holds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dao_core.models.checkpoint_io import load_checkpoint
from dao_core.training.config import TrainingConfig
from dao_core.training.distributed import RanksError, fit_in_ranks, weights_hash
from dao_core.training.packed import PackedCrystals
from tests.helpers.networks import random_crystals
from tests.helpers.training import TINY, train

pytestmark = pytest.mark.slow


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


def test_ranks_that_fail_say_why(tmp_path: Path) -> None:
    data = PackedCrystals.from_crystals(random_crystals(0, (2, 3)))
    config = TrainingConfig(**{**TINY, "ranks": 2, "max_steps": 2})
    with pytest.raises(RanksError, match=r"2 ranks ended with status 1: .*missing"):
        fit_in_ranks("generator", data, config, tmp_path, about={}, card="", start_from=tmp_path / "missing")


def test_several_nodes_need_a_meeting_point() -> None:
    with pytest.raises(ValueError, match="needs rendezvous"):
        TrainingConfig(**{**TINY, "nodes": 2})
