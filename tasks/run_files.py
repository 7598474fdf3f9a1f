"""The files of a run's log in its folder. A second run there has its own while the first one works."""

from __future__ import annotations

import json
from pathlib import Path

STATE, METRICS, HEARTBEAT = "run.json", "metrics.prom", "heartbeat"
STATES_BESIDE = "run-*.json"


def run_file(root: Path, name: str, beside: str = "") -> Path:
    """`run.json`, or `run-0a1b2c.json` of the run demo-0a1b2c that began beside another one."""
    stem, dot, ending = name.partition(".")
    return root / (f"{stem}-{beside}{dot}{ending}" if beside else name)


def beside_of(state: Path) -> str:
    """Which run's state a file is, as `run_file` takes it; empty for `run.json`."""
    return state.stem.removeprefix("run").removeprefix("-")


def state_files(root: str | Path | None = None) -> list[Path]:
    """Files with the name of a run's state, one or two folders below `root`; None: below `runs/` and this folder."""
    tops = (Path(), Path("runs")) if root is None else (Path(root),)
    names = [f"{below}/{name}" for below in ("*", "*/*") for name in (STATE, STATES_BESIDE)]
    return sorted({path for top in tops for name in names for path in top.glob(name)})


def broken_states(root: str | Path | None = None) -> list[tuple[Path, str]]:
    """Those of `state_files` that can't be read or are no JSON, each with the reason.

    What is JSON and no state of a run is somebody else's.
    """
    broken = []
    for path in state_files(root):
        try:
            json.loads(path.read_text())
        except (OSError, ValueError) as error:
            broken.append((path, " ".join(str(error).split())))
    return broken
