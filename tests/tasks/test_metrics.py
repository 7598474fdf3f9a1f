from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tasks.metrics import prometheus_text
from tasks.run_log import METRICS, RunLog


def spin_until(end: float) -> None:
    while time.monotonic() < end:
        pass


LINE = re.compile(r'^[a-z_]+\{([a-z]+="(?:[^"\\\n]|\\.)*",?)+\} -?[\d.e+-]+$')


def test_the_text_is_valid_and_its_figures_are_right() -> None:
    state = {
        "id": 'a"b\n',
        "stages": {
            "relax": {"status": "done", "seconds": 4.0, "counts": {"n_asked": 8, "n_ok": 6, "rejected_volume": 2}},
            "rank": {"status": "running"},
        },
    }
    text = prometheus_text(state)
    values = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(LINE.match(line) for line in values), text
    assert any(line.startswith("dao_stage_structures_per_second") and line.endswith(" 2") for line in values)
    assert any(line.startswith("dao_stage_seconds_per_structure") and line.endswith(" 0.5") for line in values)
    assert any('count="rejected_volume"} 2' in line for line in values)
    assert [v for v in values if "dao_stage_failures" in v] == [
        'dao_stage_failures{run="a\\"b\\n",stage="relax",reason="rejected_volume"} 2'
    ]
    assert sum(line.startswith("dao_stage_done") for line in values) == 2
    heads = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))


def test_the_run_log_keeps_them_beside_the_state(tmp_path: Path) -> None:
    run = RunLog(tmp_path, name="demo", command="x")
    with run.stage("ingest") as entry:
        entry["counts"] = {"n_in": 3}
        spin_until(time.monotonic() + 0.02)  # a stage of no time at all has no rate
    assert 'stage="ingest",count="n_in"} 3' in (tmp_path / METRICS).read_text()
    run.finish("completed", summary={"version": 1})
    (figures,) = run.state["summary"]["costs"].values()
    assert figures["structures_per_s"] * figures["s_per_structure"] == pytest.approx(1, rel=0.01)
    assert run.state["summary"]["version"] == 1
