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
    model = tiny_model(networks=2)
    torch.nn.init.normal_(model.fills[1].equivalent)
    back = load_symmetry(save_symmetry(tmp_path, model, {"rows": 1}, "card"))
    assert back.facts.elements == model.facts.elements
    for ours, theirs in zip(model.labels + model.fills, back.labels + back.fills, strict=True):
        for name, weight in ours.state_dict().items():
            assert torch.allclose(weight, theirs.state_dict()[name], atol=2e-3), name


def test_a_checkpoint_from_before_equivalent_descriptions_is_read(tmp_path: Path) -> None:
    old = written_without(save_symmetry(tmp_path, tiny_model(), {}, "card"), "fill.0.equivalent")
    assert not load_symmetry(old).fills[0].equivalent.any()


def test_a_checkpoint_from_before_networks_voted_is_read(tmp_path: Path) -> None:
    """It has one network of each kind, and no numbers in the names of its weights."""
    model = tiny_model()
    now = save_symmetry(tmp_path, model, {}, "card")
    config = json.loads((now / "config.json").read_text())
    weights = {k.replace(".0.", ".", 1): w for k, w in load_file(now / "model.safetensors").items()}
    extra = {k: config[k] for k in ("volumes", "elements", "closest", "calibration", "training")}
    one = {kind: configs[0] for kind, configs in config["model"].items()}
    back = load_symmetry(save_checkpoint(tmp_path / "old", weights, CheckpointContent(KIND, one, extra, "card")))
    assert torch.equal(back.labels[0].start, model.labels[0].start.half().float())
    assert torch.equal(back.fills[0].whole, model.fills[0].whole.half().float())


def test_a_checkpoint_without_other_weights_is_refused(tmp_path: Path) -> None:
    broken = written_without(save_symmetry(tmp_path, tiny_model(), {}, "card"), "fill.0.whole")
    with pytest.raises(CheckpointError, match="do not fit the configuration"):
        load_symmetry(broken)
