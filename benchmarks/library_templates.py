"""What the library of known structures finds of MP-20's public test: match rate at k = 1, 5, 20.

python benchmarks/library_templates.py --data ../shared/data --work DIR [--library DIR] [--n 1000] [--record]

Three columns: the library as it is with its templates alone; as it is, the known structures of the composition first;
and a library without any composition of the test split (made in the work folder by `exclude_compositions`). Nothing is
relaxed and nothing generated. Finished shards are kept in the work folder.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from bars import record_bar
from templates import compare_in_shards, read_split

from dao_core.crystal import Crystal
from dao_core.evaluate.scorecard import score_table
from dao_core.generate.templates.index import TemplateIndex
from dao_core.library.exclude import exclude_compositions
from dao_core.library.folder import Library, open_library
from dao_core.library.known import known_structures
from dao_core.library.prior import known_log_priors

DEPTH = 20
BARS = {"without": [66, 78, 86], "known first": [72, 83, 89], "templates": [72, 83, 89]}


def template_answers(index: TemplateIndex, target: Crystal) -> list[Crystal]:
    """The templates of a cell, best first."""
    return [hit.crystal for hit in index.query(target.composition, DEPTH)]


def known_first(library: Library, index: TemplateIndex, target: Crystal) -> list[Crystal]:
    """Known structures of the composition in a cell of this size by their prior, then templates of other structures."""
    known = known_structures(library, target.formula_reduced)
    priors = known_log_priors(known)
    order = sorted(range(len(known)), key=lambda i: -priors[i])
    own = [known[i].crystal for i in order if known[i].crystal.n_atoms == target.n_atoms]
    ids = [k.material_id for k in known]
    rest = [hit.crystal for hit in index.query(target.composition, DEPTH, ids)]
    return (own + rest)[:DEPTH]


def main() -> None:
    """All columns, one line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--library", type=Path, default=None, help="default: the user's own")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--columns", default="without,known first,templates")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    logging.getLogger("moyo").setLevel(logging.ERROR)  # tells of every cell that is not primitive
    library = open_library(args.library)
    if library is None:
        parser.error("no library: run `dao library install`")
    rows = read_split(args.data / "mp_20" / "test_public.parquet")
    formulas = {r.crystal.formula_reduced for r in rows}
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[: args.n]]
    targets = [r.crystal for r in rows]
    for column in args.columns.split(","):
        note = ""
        if column == "without":
            made = exclude_compositions(library, formulas, args.work / "without")
            index, note = made.library.templates(), str(made)
        else:
            index = library.templates()
        predicted = [
            known_first(library, index, t) if column == "known first" else template_answers(index, t) for t in targets
        ]
        folder = args.work / f"matches_{column.replace(' ', '_')}_{len(targets)}"
        line = figures(compare_in_shards(folder, predicted, targets, 1), predicted, targets, column)
        line |= {"taken_out": note, "library": {s.name: s.n_read - s.n_refused for s in library.sources}}
        line["command"] = f"python benchmarks/library_templates.py --work DIR --n {args.n} --record"
        if args.record:
            record_bar(**line)
        print(json.dumps(line), flush=True)


def figures(table: Any, predicted: list[list[Crystal]], targets: list[Crystal], column: str) -> dict[str, Any]:
    """One line of bars.jsonl."""
    card = score_table(table=table, predicted=predicted, reference=targets)[0]
    rates = [round(a.match_rate, 1) for a in card.unfiltered]
    return {
        "issue": "first-answer", "row": 3, "what": f"MP-20 public test, library, {column}, nothing relaxed or "
        "generated, match rate at k = 1 / 5 / 20, %", "value": rates, "bar": BARS[column],
        "met": all(v >= b for v, b in zip(rates, BARS[column], strict=True)), "n": card.n, "n_failed": card.n_failed,
        "interval": [[round(x, 1) for x in a.match_interval] for a in card.unfiltered], "misses": card.misses,
        "seed": 0,
    }  # fmt: skip


if __name__ == "__main__":
    main()
