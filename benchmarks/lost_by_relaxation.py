"""Right structures that DAO-P's relaxation spoils: first templates, or the symmetry model's first proposals.

python benchmarks/lost_by_relaxation.py --starts templates --index runs/templates/index_mp_20 --n 1000 [--record]
python benchmarks/lost_by_relaxation.py --starts symmetry --n 1000 [--record]
For random targets of the public MP-20 test half, the first structure of that cell is compared with the target at the
benchmark tolerances before and after a relaxation as a search does it (within the start's own symmetry, 100 steps). The
templates are those of MP-20's training split (templates.py saves the index), the symmetry model is the one that ships.
Lost are those that matched before and don't after, won the reverse; the rmse is that of those that match both times.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bars import show_bar
from templates import Row, read_split

from dao_core.crystal import Crystal
from dao_core.energy.predictor import DaoPotential
from dao_core.energy.relaxation.relax import RelaxationResult, RelaxSettings, relax
from dao_core.evaluate.statistics import wilson
from dao_core.generate.symmetry.generator import SymmetryGenerator
from dao_core.generate.templates.store import load_index
from dao_core.matching.pairs import match_pairs

ROWS = {"templates": ("predictor", 7, 0.5), "symmetry": ("generator", 0, 0.5)}
AS_A_SEARCH = RelaxSettings(max_steps=100, batch_size=16, keep_symmetry=True)
BLOCK = 50


def first_templates(targets: Sequence[Row], index: Path) -> list[Crystal | None]:
    """The best template for each target's cell, never the target itself."""
    templates = load_index(str(index))
    hits = [templates.query(t.crystal.composition, 1, [t.id]) for t in targets]
    return [found[0].crystal if found else None for found in hits]


def first_proposals(targets: Sequence[Row]) -> list[Crystal | None]:
    """The symmetry model's likeliest structure for each target's cell."""
    generator = SymmetryGenerator.load()
    found = [
        p for k in range(0, len(targets), BLOCK)
        for p in generator.propose_many([t.crystal.composition for t in targets[k : k + BLOCK]], 1)
    ]  # fmt: skip
    return [p.items[0].crystal if p.items else None for p in found]


def figures(starts: list[Crystal], results: list[RelaxationResult], targets: list[Crystal]) -> dict[str, Any]:
    """How many matches the relaxation loses and wins, and how close the others come."""
    before = [c.rms for c in match_pairs(predicted=starts, reference=targets)[0]]
    after = [c.rms for c in match_pairs(predicted=[r.crystal for r in results], reference=targets)[0]]
    right = [i for i, rms in enumerate(before) if rms is not None]
    lost = [i for i in right if after[i] is None]
    both = [i for i in right if after[i] is not None]
    low, high = wilson(n_hit=len(lost), n=len(right))
    return {
        "value": round(100 * len(lost) / len(right), 2), "interval": [round(100 * low, 2), round(100 * high, 2)],
        "n": len(right), "n_lost": len(lost),
        "n_won": sum(b is None and a is not None for a, b in zip(after, before, strict=True)),
        "n_starts": len(starts), "statuses": dict(Counter(str(r.status) for r in results)),
        "statuses_of_the_lost": dict(Counter(str(results[i].status) for i in lost)),
        "rmse_before": round(float(np.mean([before[i] for i in both])), 4),
        "rmse_after": round(float(np.mean([after[i] for i in both])), 4),
    }  # fmt: skip


def main() -> None:
    """One kind of start."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--starts", choices=tuple(ROWS), required=True)
    parser.add_argument("--index", type=Path, help="saved index of MP-20's training split, for templates")
    parser.add_argument("--predictor", default="predictor", help="a checkpoint, or the one that ships")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("moyo").setLevel(logging.ERROR)
    rows = read_split(args.data / "mp_20/test_public.parquet")
    targets = [rows[i] for i in np.random.default_rng(args.seed).permutation(len(rows))[: args.n]]
    if args.starts == "templates" and args.index is None:
        parser.error("--starts templates needs --index, as templates.py saves it")
    found = first_templates(targets, args.index) if args.starts == "templates" else first_proposals(targets)
    pairs = [(start, t.crystal) for start, t in zip(found, targets, strict=True) if start is not None]
    potential = DaoPotential.load(args.predictor)
    starts = [start for start, _ in pairs]
    measured = figures(starts, relax(starts, potential, AS_A_SEARCH), [target for _, target in pairs])
    issue, number, bar = ROWS[args.starts]
    line = {
        "issue": issue, "row": number, "what": f"right first {args.starts} lost by DAO-P's relaxation, %", **measured,
        "bar": bar, "met": measured["value"] <= bar, "model": potential.identity, "seed": args.seed,
        "command": f"python benchmarks/lost_by_relaxation.py --starts {args.starts} --n {args.n} --record",
    }  # fmt: skip
    show_bar(line, record=args.record)


if __name__ == "__main__":
    main()
