"""`dao train`: what a command hands to the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dao_core.models.checkpoint_io import SHIPPED


@pytest.mark.parametrize("own", [True, False])
def test_a_start_folder_is_not_mistaken_for_a_checkpoint_that_ships(
    own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.cli import train

    given: dict[str, Any] = {}

    class Done(Exception):
        """The training would begin."""

    def fit(*_: object, **options: Any) -> None:
        given.update(options)
        raise Done

    monkeypatch.setattr("tasks.crysdb.open_table", lambda *_: None)
    monkeypatch.setattr("tasks.training.fit_generator_stage", fit)
    config = Path(__file__).parents[3] / "configs" / "train-laptop.yaml"
    monkeypatch.chdir(tmp_path)
    if own:
        (tmp_path / "generator").mkdir()
    with pytest.raises(Done):
        train.train("stage2", train.Training(config, Path("table"), None, tmp_path / "root", Path("./generator")))
    assert given["start_from"] == (tmp_path / "generator" if own else SHIPPED / "generator")
