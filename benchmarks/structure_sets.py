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


def met(name: str, column: str, facts: dict[str, Any]) -> bool | None:
    """Whether a column reaches its bars; None where it has none."""
    row = BARS.get((name, column))
    if row is None:
        return None
    rates = facts["filtered"] if name == "perov-5" else facts["match_rate"]
    reached = all(rates.get(k, 0.0) >= bar for k, bar in row[1].items())
    if name == "mp-20":
        reached &= facts["rmse"]["1"] is not None and facts["rmse"]["1"] <= RMSE
        reached &= facts["same_spacegroup"] >= SAME_SPACEGROUP
    return bool(reached)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, required=True, help="folder of the report, or its report.json")
    parser.add_argument("--models", default="those that ship", help="what made the columns, in words")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    path = args.report / "report.json" if args.report.is_dir() else args.report
    report = json.loads(path.read_text())
    name, seeds = report["benchmark"], report["settings"]["seeds"]
    figure = {column: column_facts(found) for column, found in report["columns"].items()}
    for column, facts in figure.items():
        row, bars = BARS.get((name, column), (0, {}))
        line = {
            "issue": "generator", "row": row, "what": f"{name}, column {column}, unfiltered match rate at k, %",
            "value": facts["match_rate"], "bar": bars or "no number given", "met": met(name, column, facts),
            "n": report["n_asked"], "interval": facts["interval"], "details": facts, "seed": seeds,
            "models": args.models, "settings": report["settings"],
            "command": f"dao benchmark {name} --limit {report['settings']['limit']} --columns {column}",
        }  # fmt: skip
        if args.record:
            record_bar(**line)
    print(json.dumps({"figure": figure, "n": report["n_asked"], "seed": seeds, "machine": machine()}))


if __name__ == "__main__":
    main()
