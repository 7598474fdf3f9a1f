"""Puts a report of `dao study NAME` into the list of measured figures and its tables into benchmarks/results.

dao study pressure --data ../shared/data              # says where the report is
python benchmarks/studies.py --report runs/study-pressure/report --record
One line for each row of the issue that the report can speak of; a study that was reported before all its parts were
done says so in `why`. Prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bars import BARS, record_bar

ALL_FOUND = {"2": 75.0, "3": 60.0, "4": 60.0}  # percent at k = 100
MIN_WITHIN = 3  # of four transitions
MIN_BEST = 3  # of five properties
MIN_TIMES = 2.0  # hits of the loop over those of random choice


def polymorphs(report: dict[str, Any]) -> list[dict[str, Any]]:
    templates, k = report["templates_on_all"], report["k"]
    alone = {
        "row": 1, "what": f"all polymorphs of a composition found at k = {k}, templates alone, % of 2 / 3 / 4",
        "value": [templates["all_found"].get(size, {}).get("percent") for size in ALL_FOUND],
        "bar": list(ALL_FOUND.values()), "met": False, "n": templates["n_compositions"],
        "interval": {s: v["interval"] for s, v in templates["all_found"].items()},
        "details": {"templates": templates, "named": report["named"], "data": report["data"]},
    }  # fmt: skip
    if not report["arms"]:
        return [alone]
    both, gap = report["arms"]["both"], report["both_less_templates"]
    found = {size: both["all_found"].get(size, {}).get("percent") for size in ALL_FOUND}
    everywhere = {size: templates["all_found"].get(size, {}).get("percent") for size in ALL_FOUND}
    reached = all(found[s] is not None and found[s] >= bar for s, bar in ALL_FOUND.items())
    return [
        {
            "row": 1,
            "what": f"all polymorphs of a composition found at k = {k}, templates and DAO-G, % of those with 2 / 3 / 4",
            "value": list(found.values()), "bar": list(ALL_FOUND.values()), "met": reached and k >= 100,
            "n": both["n_compositions"], "interval": {s: v["interval"] for s, v in both["all_found"].items()},
            "details": {"templates alone on all compositions": everywhere, "arms": report["arms"],
                        "with_random": report["with_random"], "order_by_energy": report["order_by_energy"],
                        "named": report["named"], "data": report["data"]},
        },
        {
            "row": 2,
            "what": f"METRe on polymorphs at k = {k}: both less templates alone, percentage points, paired",
            "value": gap["mean"], "bar": "higher", "met": gap["interval"][0] > 0, "n": gap["n"],
            "interval": gap["interval"],
        },
    ]  # fmt: skip


def pressure(report: dict[str, Any]) -> list[dict[str, Any]]:
    found = report["transitions"]
    counted = [name for name in found if report["sources"][name]["calculated"]]
    return [
        {
            "row": 8,
            "what": "transition pressures of the judge within 30 % of the published ones, of how many",
            "value": [report["n_within"], report["n_transitions"]], "bar": [MIN_WITHIN, 4],
            "met": report["n_within"] >= MIN_WITHIN and report["n_within"] / report["n_transitions"] >= MIN_WITHIN / 4,
            "n": report["n_transitions"],
            "interval": {name: [t["gpa"], t["published_gpa"]] for name, t in found.items()},
            "details": {"hydride": report.get("hydride"), "phonons": report.get("phonons")},
            "why": f"outside: {', '.join(name for name in counted if not found[name]['within'])}",
        }
    ]  # fmt: skip


def superconductors(report: dict[str, Any]) -> list[dict[str, Any]]:
    found, n = report["crystals"], report["n"]
    lines = []
    if "Cr6Os2" in found:
        arms = found["Cr6Os2"]
        seeded, alone = arms["seeded"], arms["dao-g"]
        rms = seeded["best_rms"]
        lines.append({
            "row": 4, "what": f"Cr6Os2, held out: matches of {n}, best RMSE: DAO-G from templates / alone",
            "value": [[seeded["matches"], rms], [alone["matches"], alone["best_rms"]]], "bar": [19, 0.01],
            "met": seeded["matches"] >= 0.95 * n and rms is not None and rms <= 0.01, "n": n,
            "interval": [seeded["interval"], alone["interval"]],
            "details": {"templates as they stand": arms["templates"], "held_out": report["held_out"]},
        })  # fmt: skip
    oxides = [name for name in ("Zr16Rh8O4", "Zr16Pd8O4") if name in found]
    if oxides:
        lines.append({
            "row": 5, "what": f"{' and '.join(oxides)}, held out: matches of {n}, templates of other compositions",
            "value": [found[name]["templates"]["matches"] for name in oxides], "bar": [1] * len(oxides),
            "met": all(found[name]["templates"]["matches"] for name in oxides) and len(oxides) == 2, "n": n,
            "interval": [found[name]["templates"]["interval"] for name in oxides],
            "details": {name: found[name] for name in oxides},
        })  # fmt: skip
    return [*lines, critical_temperatures(report["tc"])] if "tc" in report else lines


def critical_temperatures(tc: dict[str, Any]) -> dict[str, Any]:
    gap = tc["less_than_measured_alone"]
    low, high = gap["generated"]["interval"]
    return {
        "row": 3, "what": "MAE of ln Tc: with less without generated structures; MAE measured / generated / templates",
        "value": [gap["generated"]["mean"], *(tc["mae_ln_tc"][arm]["mean"] for arm in tc["mae_ln_tc"])],
        "bar": "lower, interval excludes zero", "met": high < 0, "n": tc["n"], "interval": [low, high],
        "details": {"templates": gap["templates"], "by_seed": tc["by_seed"], "held_out": tc["held_out"],
                    "data": tc["data"]},
    }  # fmt: skip


def properties(report: dict[str, Any]) -> list[dict[str, Any]]:
    last = {name: {m: c[-1]["mae"] for m, c in t["curves"].items()} for name, t in report["targets"].items()}
    return [
        {
            "row": 6, "what": "properties on which fine-tuned DAO-P has the lowest error of all, of how many",
            "value": [report["n_best"], report["n_targets"]], "bar": [MIN_BEST, 5],
            "met": report["n_best"] >= MIN_BEST and report["n_targets"] == 5,
            "n": {name: t["n"] for name, t in report["targets"].items()},
            "interval": {name: t["fine_tuned_less"] for name, t in report["targets"].items()},
            "details": {"mae": last, "clearly_best": report["n_clearly_best"], "training": report["mean_training"],
                        "data": report["data"],
                        "sizes": {n: [p["size"] for p in t["curves"]["trees"]] for n, t in report["targets"].items()}},
        }
    ]  # fmt: skip


def loop(report: dict[str, Any]) -> list[dict[str, Any]]:
    arms, against = report["arms"], report["loop_less"].get("random", {"times": None, "n_seeds": 0, "interval": None})
    return [
        {
            "row": 7, "what": f"the loop on {report['system']}: hits per validation, loop / no retraining / random",
            "value": [arms[arm]["hits_per_validation"] for arm in arms], "bar": "2 x random",
            "met": bool(against["times"] and against["times"] >= MIN_TIMES and against["interval"][0] > 0),
            "n": {arm: figures["validations"] for arm, figures in arms.items()},
            "interval": {arm: figures["interval"] for arm, figures in arms.items()},
            "details": {"arms": arms, "loop_less": report["loop_less"], "growth": report["growth"],
                        "final_hull": report["final_hull"], "data": report["data"]},
        }
    ]  # fmt: skip


ROWS: dict[str, Callable[[dict[str, Any]], list[dict[str, Any]]]] = {
    "loop": loop, "polymorphs": polymorphs, "pressure": pressure, "properties": properties,
    "superconductors": superconductors,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, required=True, help="folder of the report")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    report = json.loads((args.report / "report.json").read_text())
    run = report["run"]
    partial = f"{run['parts']} of {run['of']} parts were done" if run["parts"] < run["of"] else None
    lines = []
    for row in ROWS[run["study"]](report):
        reason = row.pop("why", "the small form")
        line = {"issue": "studies", **row, "command": f"dao study {run['study']}", "seed": run["settings"]["seed"],
                "cpu_seconds": run["cpu_seconds"], "settings": run["settings"]}  # fmt: skip
        missed = None if row["met"] else reason
        whys = [why for why in (partial, missed) if why]
        lines.append({**line, "why": "; ".join(whys)} if whys else line)
        if args.record:
            record_bar(**lines[-1])
    if args.record:
        for path in args.report.glob("*.parquet"):
            shutil.copy(path, BARS.parent / path.name)
    print(json.dumps(lines))


if __name__ == "__main__":
    main()
