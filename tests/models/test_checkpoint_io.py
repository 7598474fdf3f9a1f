"""Checkpoints: exact round trip, and every damage refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dao_core.models.build import build_network
from dao_core.models.checkpoint_io import (
    SHIPPED,
    CheckpointContent,
    CheckpointError,
    load_checkpoint,
    resolve,
    save_checkpoint,
)
from tests.helpers.networks import CORRECTED


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    network = build_network(CORRECTED)
    return save_checkpoint(
        tmp_path / "c",
        network.state_dict(),
        CheckpointContent("generator", CORRECTED.model_dump(), {"a": 1}, "# card"),
    )


def test_round_trip_keeps_every_weight(saved: Path) -> None:
    loaded = load_checkpoint(saved, kind="generator")
    again = load_checkpoint(saved)
    assert loaded.config["a"] == 1
    for name, weight in loaded.network.state_dict().items():
        assert torch.equal(weight, again.network.state_dict()[name])
    assert loaded.identity == again.identity
    assert {p.name for p in saved.iterdir()} == {"model.safetensors", "config.json", "card.md"}


def test_another_kind_is_refused(saved: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a 'generator' model, a 'predictor' is needed"):
        load_checkpoint(saved, kind="predictor")


def test_damaged_weights_are_refused(saved: Path) -> None:
    data = bytearray((saved / "model.safetensors").read_bytes())
    data[-3] ^= 1
    (saved / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_checkpoint(saved)


def test_truncated_config_is_refused(saved: Path) -> None:
    (saved / "config.json").write_text((saved / "config.json").read_text()[:50])
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        load_checkpoint(saved)


def test_weights_of_another_architecture_are_refused(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    config["model"]["width"] = 32
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="do not fit"):
        load_checkpoint(saved)


@pytest.mark.parametrize("name", ["generator", "predictor", "symmetry"])
def test_a_name_that_ships_means_what_ships_whatever_lies_in_the_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert resolve(name) == SHIPPED / name
    for written in (f"./{name}", f"{name}/", str(tmp_path / name), Path(name)):
        assert resolve(written).absolute() == tmp_path / name
    assert resolve("mine") == Path("mine")
    (tmp_path / name).rmdir()
    assert resolve(Path(name)) == SHIPPED / name
