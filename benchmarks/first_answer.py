"""Textbook ground states among the first answers of a whole search: proposals, relaxation, judge, ranking.

python benchmarks/first_answer.py --work DIR [--sides library,without] [--n 40] [--limit 95] [--record]

The 95 compounds and elements of first_table.py, in an order drawn by seed 0, searched as `dao predict` does without a
time budget. Side `library` takes the user's library as it is; side `without` leaves out every known structure and every
template of the composition that is asked for. The networks were trained on MP-20, which holds many of these compounds.
A hit is the same crystal by the strict matcher. Finished compounds are kept in DIR.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from bars import cpu_seconds, record_bar
from first_table import BARS
from ground_states import LeakFree, references
from textbook import elements, further

from dao_core.crystal import Crystal
from dao_core.evaluate.statistics import wilson
from dao_core.matching.same import same_crystal
from dao_core.screening.load_models import SearchModels, load_search_models
from dao_core.screening.search import SearchSettings, search
from dao_core.screening.settings import proposal_shares

COLUMNS = {"library": "as it is", "without": "without the composition"}


def models_of(side: str, generator: str) -> SearchModels:
    """The default models; without what is known of the formula on the side `without`."""
    models = load_search_models(generator=generator)
    if side == "library":
        return models
    assert models.templates is not None
    leak_free: Any = LeakFree(models.templates)
    return SearchModels(models.potential, models.generator, leak_free, models.judge)


def search_one(formula: str, reference: Crystal, models: SearchModels, n: int) -> dict[str, Any]:
    """The place of the textbook structure among the answers, 0 where it is not there."""
    begin, cpu = time.perf_counter(), cpu_seconds()
    shares = proposal_shares(n, generator=models.generator is not None)
    outcome = search([formula], models, SearchSettings(**shares))
    usable = [c for c in outcome.candidates if c.usable]
    place = next((i for i, c in enumerate(usable, 1) if same_crystal(reference, c.crystal)), 0)
    return {
        "formula": formula, "place": place, "distinct": len(usable),
        "first": usable[0].spacegroup_after if usable else None,
        "seconds": round(time.perf_counter() - begin, 1), "cpu": round(cpu_seconds() - cpu, 1),
    }  # fmt: skip


def main() -> None:
    """Each side; compounds that are in the work folder are not searched again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sides", default="library,without")
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--generator", default="dao")
    parser.add_argument("--limit", type=int, default=95, help="only so many compounds")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    logging.getLogger("moyo").setLevel(logging.ERROR)
    known = list((elements() | further() | references()).items())
    known = [known[i] for i in np.random.default_rng(0).permutation(len(known))][: args.limit]
    args.work.mkdir(parents=True, exist_ok=True)
    for side in args.sides.split(","):
        path = args.work / f"{side}-{args.n}-{args.generator}.jsonl"
        done = {r["formula"]: r for r in map(json.loads, path.read_text().splitlines())} if path.exists() else {}
        models = models_of(side, args.generator)
        for formula, crystal in known:
            if formula not in done:
                done[formula] = search_one(formula, crystal, models, args.n)
                with path.open("a") as handle:
                    handle.write(json.dumps(done[formula]) + "\n")
        line = figures([done[formula] for formula, _ in known], side, args)
        if args.record:
            record_bar(**line)
        print(json.dumps(line), flush=True)


def figures(rows: list[dict[str, Any]], side: str, args: argparse.Namespace) -> dict[str, Any]:
    """One line of bars.jsonl."""
    hits = [sum(0 < r["place"] <= k for r in rows) for k in (1, 3)]
    value = [round(100 * n / len(rows), 1) for n in hits]
    bar = BARS[COLUMNS[side]]
    return {
        "issue": "first-answer", "row": 1 + list(COLUMNS).index(side), "what": "textbook ground states among the first "
        f"1 / 3 of a search, library {COLUMNS[side]}, %", "value": value, "bar": bar, "n": len(rows),
        "met": all(v >= b for v, b in zip(value, bar, strict=True)),
        "interval": [[round(100 * x) for x in wilson(n_hit=n, n=len(rows))] for n in hits], "seed": 0,
        "not_first": {r["formula"]: r["place"] for r in rows if r["place"] != 1},
        "cpu_s_each": round(float(np.mean([r["cpu"] for r in rows])), 1),
        "command": f"python benchmarks/first_answer.py --work DIR --sides {side} --n {args.n} --generator "
        f"{args.generator} --limit {args.limit} --record",
    }  # fmt: skip


if __name__ == "__main__":
    main()
