"""The figures of a run as Prometheus text (`metrics.prom`), for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADS = {
    "dao_stage_seconds": "Wall time of a stage.",
    "dao_stage_done": "1 where the stage is done, 0 where it runs or failed.",
    "dao_stage_count": "Counts of a stage: asked, ok, failed, and others that it keeps.",
    "dao_stage_failures": "Structures that failed in a stage, by reason.",
    "dao_stage_structures_per_second": "Structures through a stage per second.",
    "dao_stage_seconds_per_structure": "What one structure costs in a stage.",
}
TOTALS = ("n_asked", "n_in", "structures")  # the counts that say how many structures a stage looked at


def prometheus_text(state: Mapping[str, Any]) -> str:
    """Metrics of the stages in a run's state."""
    rows: dict[str, list[str]] = {name: [] for name in HEADS}
    for stage, entry in state.get("stages", {}).items():
        labels = f'run="{_escape(state["id"])}",stage="{_escape(stage)}"'
        counts = entry.get("counts", {})
        rows["dao_stage_done"].append(f"{{{labels}}} {int(entry.get('status') == 'done')}")
        for name, value in counts.items():
            rows["dao_stage_count"].append(f'{{{labels},count="{_escape(name)}"}} {value}')
        for reason, value in failures(counts).items():
            rows["dao_stage_failures"].append(f'{{{labels},reason="{_escape(reason)}"}} {value}')
        if (seconds := entry.get("seconds")) is None:
            continue
        rows["dao_stage_seconds"].append(f"{{{labels}}} {seconds}")
        if figures := cost(entry):
            rows["dao_stage_structures_per_second"].append(f"{{{labels}}} {figures['structures_per_s']:.6g}")
            rows["dao_stage_seconds_per_structure"].append(f"{{{labels}}} {figures['s_per_structure']:.6g}")
    out = []
    for name, lines in rows.items():
        if lines:
            out += [f"# HELP {name} {HEADS[name]}", f"# TYPE {name} gauge", *(name + line for line in lines)]
    return "\n".join(out) + "\n"


def failures(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts that are reasons of failures."""
    return {k: v for k, v in counts.items() if v and (k.startswith("rejected_") or k == "potential_failed")}


def cost(entry: Mapping[str, Any]) -> dict[str, float]:
    """Structures a second and seconds a structure of a finished stage; nothing where it counts no structures."""
    counts, seconds = entry.get("counts", {}), entry.get("seconds") or 0.0
    total = next((counts[name] for name in TOTALS if counts.get(name)), None)
    if not total or seconds <= 0:
        return {}
    return {"structures_per_s": total / seconds, "s_per_structure": seconds / total}


def costs(state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Cost and failures of every stage that counts structures, for the summary of a run."""
    out: dict[str, dict[str, Any]] = {}
    for stage, entry in state.get("stages", {}).items():
        if figures := cost(entry):
            rounded = {name: float(f"{value:.4g}") for name, value in figures.items()}
            out[stage] = {**rounded, **({"failures": found} if (found := failures(entry["counts"])) else {})}
    return out


def _escape(text: object) -> str:
    return str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
