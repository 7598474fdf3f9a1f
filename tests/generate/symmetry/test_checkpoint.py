"""The symmetry model on disk: what is written comes back, and checkpoints of the version before are still read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dao_core.generate.symmetry.checkpoint import KIND, load_symmetry, save_symmetry
from dao_core.models.checkpoint_io import CheckpointContent, CheckpointError, save_checkpoint
from tests.helpers.symmetric import tiny_model


def written_without(directory: Path, missing: str) -> Path:
    """A checkpoint like another, but without one of its weights."""
    config = json.loads((directory / "config.json").read_text())
    weights = load_file(directory / "model.safetensors")
    del weights[missing]
    extra = {k: config[k] for k in ("volumes", "elements", "closest", "calibration", "training")}
    return save_checkpoint(directory / "less", weights, CheckpointContent(KIND, config["model"], extra, "card"))


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    model = tiny_model()
    torch.nn.init.normal_(model.fill.equivalent)
    back = load_symmetry(save_symmetry(tmp_path, model, {"rows": 1}, "card"))
    assert back.facts.elements == model.facts.elements
    for ours, theirs in ((model.label, back.label), (model.fill, back.fill)):
        for name, weight in ours.state_dict().items():
            assert torch.allclose(weight, theirs.state_dict()[name], atol=2e-3), name


def test_a_checkpoint_from_before_equivalent_descriptions_is_read(tmp_path: Path) -> None:
    old = written_without(save_symmetry(tmp_path, tiny_model(), {}, "card"), "fill.equivalent")
    assert not load_symmetry(old).fill.equivalent.any()


def test_a_checkpoint_without_other_weights_is_refused(tmp_path: Path) -> None:
    broken = written_without(save_symmetry(tmp_path, tiny_model(), {}, "card"), "fill.whole")
    with pytest.raises(CheckpointError, match="do not fit the configuration"):
        load_symmetry(broken)
