"""The joint order of templates and symmetry on MP-20's public test: match rate at k = 1, 5, 20, paired with each alone.

python benchmarks/joint_order.py --pools DIR [--weights mp_20=FILE] [--record]
Reads the pools that joint_pools.py made of the test split. Columns: `without`, a library without any composition of
the test; `library`, the library as it is, what it knows of the composition first; `mp_20`, MP-20's training split as
library. Nothing is relaxed and nothing drawn from noise. Differences are paired, with a bootstrap interval.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from bars import record_bar
from joint_pools import LIBRARY, Pool, load_pools
from templates import read_split

from dao_core.crystal import Crystal
from dao_core.evaluate.scorecard import Scorecard, score_table
from dao_core.evaluate.statistics import bootstrap_mean
from dao_core.matching.rms import Comparison
from dao_core.screening.joint import JointWeights, fingerprints, joint_order, shipped_weights, without
from dao_core.screening.suggestions import SMALLEST_SHARE

KS = (1, 5, 20)
DEPTH = KS[-1]
ROWS: dict[str, tuple[str, int, str, list[float]]] = {
    "without": ("first-answer", 3, "library without the test's compositions and symmetry", [66, 78, 86]),
    LIBRARY: ("first-answer", 3, "library as it is, known first, and symmetry", [72, 83, 89]),
    "mp_20": ("generator", 24, "MP-20 train as library and symmetry", [78, 90, 95]),
}


def joint(pool: Pool, column: str, weights: JointWeights) -> list[Crystal]:
    """Structures in the joint order; what a library knows comes first and is not suggested again."""
    known = pool.known if column == LIBRARY else []
    found = joint_order(pool.hits.get(column, []), pool.proposals, weights)
    order = without(found, fingerprints(known), SMALLEST_SHARE)
    return (known + [s.crystal for s in order.suggestions])[:DEPTH]


def templates(pool: Pool, column: str) -> list[Crystal]:
    """Templates alone, behind what is known."""
    known = pool.known if column == LIBRARY else []
    return (known + [hit.crystal for hit in pool.hits.get(column, [])])[:DEPTH]


def score(pools: Sequence[Pool], predicted: list[list[Crystal]], targets: list[Crystal]) -> Scorecard:
    """The scorecard from the comparisons that the pools hold."""
    table = []
    for pool, row in zip(pools, predicted, strict=True):
        rms = [pool.rms[id(c)] for c in row]
        table.append([Comparison(r, None, "sites" if r is None else "matched") for r in rms])
    return score_table(table=table, predicted=predicted, reference=targets, ks=KS)[0]


def difference(pools: Sequence[Pool], one: list[list[Crystal]], other: list[list[Crystal]], k: int) -> dict[str, Any]:
    """Points by which the first finds more among k, with a paired 95 % interval."""
    found = [
        np.array([any(p.right(c) for c in row[:k]) for p, row in zip(pools, side, strict=True)], dtype=float)
        for side in (one, other)
    ]
    away = 100 * (found[0] - found[1])
    low, high = bootstrap_mean(values=away)
    return {"points": round(float(away.mean()), 1), "interval": [round(low, 1), round(high, 1)],
            "won": int((away > 0).sum()), "lost": int((away < 0).sum())}  # fmt: skip


def figures(pools: Sequence[Pool], targets: list[Crystal], column: str, weights: JointWeights) -> dict[str, Any]:
    """One line of bars.jsonl."""
    issue, row, what, bar = ROWS[column]
    predicted = [joint(p, column, weights) for p in pools]
    alone = {
        "templates": [templates(p, column) for p in pools],
        "symmetry": [[s.crystal for s in p.proposals][:DEPTH] for p in pools],
    }
    card = score(pools, predicted, targets)
    rates = [round(a.match_rate, 1) for a in card.unfiltered]
    others = {name: score(pools, side, targets) for name, side in alone.items()}
    return {
        "issue": issue, "row": row, "what": f"MP-20 public test, {what}, one order, nothing relaxed, match rate at "
        "k = 1 / 5 / 20, %", "value": rates, "bar": bar,
        "met": all(v >= b for v, b in zip(rates, bar, strict=True)), "n": card.n, "n_failed": card.n_failed,
        "interval": [[round(x, 1) for x in a.match_interval] for a in card.unfiltered],
        "filtered": [round(a.match_rate, 1) for a in card.filtered], "smact": version("smact"),
        "rmse": [None if a.rmse is None else round(a.rmse, 4) for a in card.unfiltered],
        "alone": {name: [round(a.match_rate, 1) for a in c.unfiltered] for name, c in others.items()},
        "against": {name: {str(k): difference(pools, predicted, side, k) for k in KS} for name, side in alone.items()},
        "seed": 0,
    }  # fmt: skip


def main() -> None:
    """Every column that the pools have."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--pools", type=Path, required=True)
    parser.add_argument("--weights", action="append", default=[], help="COLUMN=FILE: other weights for a column")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    pools = load_pools(args.pools)
    crystals = {r.id: r.crystal for r in read_split(args.data / "mp_20" / "test_public.parquet")}
    targets = [crystals[p.target] for p in pools]
    files = dict(item.split("=", 1) for item in args.weights)
    for column in ROWS:
        weights = shipped_weights()
        if column in files:
            weights = JointWeights.from_json(Path(files[column]).read_text())
        line = figures(pools, targets, column, weights)
        line["weights"] = "those that ship" if column not in files else "fitted on validation with this index"
        other = f" --weights {column}=FILE" if column in files else ""
        line["command"] = f"python benchmarks/joint_order.py --pools DIR{other} --record"
        if args.record:
            record_bar(**line)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
