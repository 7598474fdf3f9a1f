"""Puts the table of `dao benchmark mp-20` (or perov-5, mpts-52, carbon-24) into the list of measured figures.

dao benchmark mp-20 --columns templates,denovo,ranked --limit 300    # its last line names the report
python benchmarks/structure_sets.py --report runs/benchmark/ledger/benchmark-report/KEY --record
One line a column: match rate at each k (mean over the seeds, bootstrap interval over targets), filtered rate, RMSE,
METRe and same space group of the first seed, hard cases, misses and coverage. Prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from bars import machine, record_bar

# (set, column): row of the issue, k of its bars, percent
BARS = {
    ("mp-20", "seeded"): (2, {"1": 78.0, "20": 95.0}),
    ("mp-20", "ranked"): (2, {"1": 78.0, "20": 95.0}),
    ("perov-5", "denovo"): (3, {"1": 53.7, "20": 98.6}),
}
RMSE, SAME_SPACEGROUP = 0.04, 72.0  # bars of row 2


def column_facts(found: dict[str, Any]) -> dict[str, Any]:
    """What one column of a report says of all targets, and the match rates of the hard cases."""
    everything = found["rows"]["all"]
    mean, first = everything["mean_over_seeds"], next(iter(everything["seeds"].values()))
    return {
        "match_rate": {k: round(m["match_rate"], 2) for k, m in mean.items()},
        "interval": {k: [round(x, 1) for x in m["interval"]] for k, m in mean.items()},
        "each_seed": {k: [round(x, 2) for x in m["each_seed"]] for k, m in mean.items()},
        "filtered": {str(a["k"]): round(a["match_rate"], 2) for a in first["filtered"]},
        "rmse": {str(a["k"]): a["rmse"] and round(a["rmse"], 4) for a in first["unfiltered"]},
        "metre": first["metre"],
        "crmse": first["metre_crmse"],
        "same_spacegroup": round(first["same_spacegroup"], 2),
        "n_failed": first["n_failed"],
        "misses": first["misses"],
        "coverage": found["coverage"],
        "rows": {
            row: {"n": values["n"], **{k: round(m["match_rate"], 1) for k, m in values["mean_over_seeds"].items()}}
            for row, values in found["rows"].items()
        },
    }


def met(name: str, column: str, facts: dict[str, Any], bars: dict[str, float]) -> bool | None:
    """Whether a column reaches `bars`, percent at each k; None where it has none, or those asked say too little."""
    asked = {k: bar for k, bar in bars.items() if k in facts["match_rate"]}
    if not asked:
        return None
    rates = facts["filtered"] if name == "perov-5" else facts["match_rate"]
    reached = all(rates[k] >= bar for k, bar in asked.items())
    if BARS[name, column][0] == 2:
        reached &= facts["rmse"]["1"] is not None and facts["rmse"]["1"] <= RMSE
        reached &= facts["same_spacegroup"] >= SAME_SPACEGROUP
    return bool(reached) if asked == bars or not reached else None


def command(name: str, column: str, settings: dict[str, Any]) -> str:
    """What makes one column of the table again, but for checkpoints that don't ship."""
    seeds = ",".join(map(str, settings["seeds"]))
    text = f"dao benchmark {name} --columns {column} --limit {settings['limit']} --k {settings['k']} --seeds {seeds}"
    return text + (f" --steps {settings['steps']}" if settings["steps"] else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, required=True, help="folder of the report, or its report.json")
    parser.add_argument("--trained", default="those that ship", help="where the models come from, in words")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    path = args.report / "report.json" if args.report.is_dir() else args.report
    report = json.loads(path.read_text())
    name, settings = report["benchmark"], report["settings"]
    seeds = settings["seeds"]
    figure = {column: column_facts(found) for column, found in report["columns"].items()}
    for column, facts in figure.items():
        row, bars = BARS.get((name, column), (0, {}))
        vote = column in ("denovo", "baseline") and settings["distinct"] and settings["k"] > 1
        what = f"{name}, column {column}, unfiltered match rate at k, %" + (", most often drawn first" if vote else "")
        if vote:  # published figures at k = 1 are of single draws
            bars = {k: bar for k, bar in bars.items() if k != "1"}
        line = {
            "issue": "generator", "row": row, "what": what,
            "value": facts["match_rate"], "bar": bars or "no number given", "met": met(name, column, facts, bars),
            "n": report["n_asked"], "interval": facts["interval"], "details": facts, "seed": seeds,
            "models": f"{args.trained}: {report['models'][column]}", "settings": settings,
            "command": command(name, column, settings),
        }  # fmt: skip
        if args.record:
            record_bar(**line)
    print(json.dumps({"figure": figure, "n": report["n_asked"], "seed": seeds, "machine": machine()}))


if __name__ == "__main__":
    main()
