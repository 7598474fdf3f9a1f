"""`dao finetune` as a user meets it: train, read the table, predict; mistakes are one line; the flow says the same."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from dao_core.crystal import Crystal
from dao_core.models.build import build_network
from dao_core.models.checkpoint_io import CheckpointContent, save_checkpoint
from dao_core.models.config import LocalConfig
from flows.cli.finetune import predict_files
from tests.helpers.cli import dao

SETTINGS = {
    "column": "edge", "start": None, "folds": 2, "max_epochs": 1, "batch_size": 8,
    "model": {"kind": "local", "width": 8, "n_blocks": 1, "n_radial": 4, "time_dim": 8, "cutoff": 4.0},
}  # fmt: skip


def write(folder: Path) -> tuple[Path, Path]:
    edges = np.linspace(2.5, 3.5, 16)
    crystals = [Crystal(np.eye(3) * a, np.zeros((1, 3)), np.array([20 + i])) for i, a in enumerate(edges)]
    table = pd.DataFrame({"cif": [c.to_cif() for c in crystals], "edge": edges})
    table.to_csv(folder / "edges.csv")
    (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    (folder / "a.cif").write_text(crystals[0].to_cif())
    return folder / "edges.csv", folder / "settings.yaml"


def test_train_and_predict(tmp_path: Path) -> None:
    data, config = write(tmp_path)
    command = ("finetune", "property", str(data), "--column", "edge", "--config", str(config), "--root", "run")
    first = dao(*command, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "mean of the training rows" in first.stdout
    assert "fine-tuned, fold 2 of 2" in first.stdout
    folder = re.search(r"run/ledger/property-model/\w+/model", first.stdout)
    assert folder is not None
    answer = dao("finetune", "predict", folder[0], "a.cif", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "a.cif" in answer.stdout
    assert "edge (2 members)" in answer.stdout
    broken = dao("finetune", "predict", folder[0], "settings.yaml", cwd=tmp_path)
    assert broken.returncode == 2
    assert "unreadable" in broken.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("property", "missing.csv", "--column", "edge"), "missing.csv does not exist"),
        (("property", "edges.csv", "--column", "colour"), "no column 'colour'"),
        (("property", "edges.csv", "--column", "cif"), "is not numeric"),
        (("predict", "nowhere", "a.cif"), "nowhere is not a checkpoint"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    write(tmp_path)
    result = dao("finetune", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_one_answer_has_no_spread_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = LocalConfig(width=8, n_blocks=1, n_radial=4, time_dim=8, cutoff=4.0)
    for fold, elements in enumerate(([29], [29, 79])):
        torch.manual_seed(fold)
        extra = {"column": "x", "scale": {"transform": "none", "mean": 0.0, "std": 1.0}, "elements": elements}
        content = CheckpointContent("property", model.model_dump(), extra, "")
        save_checkpoint(tmp_path / f"fold-{fold}", build_network(model).state_dict(), content)
    for name, number in (("copper", 29), ("gold", 79)):
        cell = Crystal(np.eye(3) * 3.0, np.zeros((1, 3)), np.array([number]))
        (tmp_path / f"{name}.cif").write_text(cell.to_cif())
    assert predict_files(tmp_path, [tmp_path / "gold.cif"]) == 0
    assert re.search(r"gold.cif +\S+ +- +1 of 2", capsys.readouterr().out)
    assert predict_files(tmp_path, [tmp_path / "copper.cif"]) == 0
    assert re.search(r"copper.cif +\S+ +\d\S* +2 of 2", capsys.readouterr().out)


def test_the_flow_s_parameters_load() -> None:
    from flows.finetune import finetune_property
    from tasks.config import FinetuneConfig

    config = {"name": "a", "root": "r", "data": "x.csv", "property": SETTINGS}
    assert FinetuneConfig.model_validate(config).property.folds == 2
    assert "config" in finetune_property.parameters.properties
