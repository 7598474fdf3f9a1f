"""The figures of a run as Prometheus text (`metrics.prom`), for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADS = {
    "dao_stage_seconds": "Wall time of a stage.",
    "dao_stage_done": "1 where the stage is done, 0 where it runs or failed.",
    "dao_stage_count": "Counts of a stage: asked, ok, failed, and failures by reason.",
    "dao_stage_structures_per_second": "Structures through a stage per second.",
    "dao_stage_seconds_per_structure": "What one structure costs in a stage.",
}
TOTALS = ("n_asked", "n_in", "structures")  # the counts that say how many structures a stage looked at


def prometheus_text(state: Mapping[str, Any]) -> str:
    """Metrics of the stages in a run's state."""
    rows: dict[str, list[str]] = {name: [] for name in HEADS}
    for stage, entry in state.get("stages", {}).items():
        labels = f'run="{_escape(state["id"])}",stage="{_escape(stage)}"'
        seconds, counts = entry.get("seconds"), entry.get("counts", {})
        rows["dao_stage_done"].append(f"{{{labels}}} {int(entry.get('status') == 'done')}")
        for name, value in counts.items():
            rows["dao_stage_count"].append(f'{{{labels},count="{_escape(name)}"}} {value}')
        if seconds is None:
            continue
        rows["dao_stage_seconds"].append(f"{{{labels}}} {seconds}")
        total = next((counts[name] for name in TOTALS if counts.get(name)), None)
        if total and seconds > 0:
            rows["dao_stage_structures_per_second"].append(f"{{{labels}}} {total / seconds:.6g}")
            rows["dao_stage_seconds_per_structure"].append(f"{{{labels}}} {seconds / total:.6g}")
    out = []
    for name, lines in rows.items():
        if lines:
            out += [f"# HELP {name} {HEADS[name]}", f"# TYPE {name} gauge", *(name + line for line in lines)]
    return "\n".join(out) + "\n"


def _escape(text: object) -> str:
    return str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
