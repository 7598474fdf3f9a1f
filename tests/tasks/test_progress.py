from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks import progress as module
from tasks.progress import FOLDER, Progress, progress, read_progress


def test_listeners_hear_and_the_file_goes_with_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, bool]] = []
    monkeypatch.setattr(module, "listeners", [lambda p: seen.append((p.done, p.ended))])
    with progress(tmp_path, "relax unstable", 4) as shown:
        shown.update(1)
        shown.update(4, "loss 0.1")
        (state,) = read_progress(tmp_path)
        assert (state["stage"], state["done"], state["total"], state["note"]) == ("relax unstable", 4, 4, "loss 0.1")
        assert shown.sentence().startswith("4/4 shards, ")
        assert "loss 0.1, 0 s left" in shown.sentence()
    assert seen == [(1, False), (4, False), (4, True)]
    assert read_progress(tmp_path) == []


def test_time_left_is_by_this_attempt(tmp_path: Path) -> None:
    shown = Progress(tmp_path, "train", 100, "%")
    assert shown.seconds_left is None
    shown.start_at(50)
    shown._began -= 10  # ten seconds ago
    shown.update(60)
    assert shown.rate == pytest.approx(1.0, rel=0.05)
    assert shown.seconds_left == pytest.approx(40, rel=0.05)
    assert shown.sentence() == "40 s left"


def test_a_damaged_file_is_left_out(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "a.json").write_text("{")
    (tmp_path / FOLDER / "b.json").write_text(json.dumps({"stage": "b"}))
    assert read_progress(tmp_path) == [{"stage": "b"}]
