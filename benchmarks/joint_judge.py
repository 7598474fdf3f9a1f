"""Let the judge relax the first structures of the joint order on a benchmark's test split, as a search does.

python benchmarks/joint_judge.py --set mp-20 --pools DIR --index train --first 6 --n 200
The pools are those of joint_pools.py with one index, symmetry and DAO-P's relaxations; the judge gets the first of
`joint + DAO-P`. `joint_order.py` then shows the column `joint + DAO-P + judge`. Killed or stopped, the same command
goes on. The judge, SevenNet-l3i5, was trained on relaxations of MPtrj, which holds many of the test's compounds: it
knows their energies, and what it adds is not comparable with models that know the training split alone.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from joint_columns import relaxed_order, suggested
from joint_pools import JUDGE, Made, Pool, benchmark_targets, load_pools, make_part

from dao_core.energy.adapters.sevennet import SevenNetPotential
from dao_core.screening.joint import shipped_weights
from dao_core.screening.proposals import TEMPLATE
from dao_core.screening.proposed import Proposed
from dao_core.screening.relaxing import Relaxer, proposal_candidate
from dao_core.screening.settings import SearchSettings
from dao_core.studies.benchmark_data import BENCHMARK_TARGETS
from dao_core.studies.csp_benchmark import Target


def judged_rows(relaxer: Relaxer, pools: Mapping[str, Pool], index: str, first: int, targets: Sequence[Target]) -> Made:
    """What the judge makes of the first structures of each target."""
    made: Made = {}
    for target in targets:
        pool, rows = pools[target.id], []
        for place, end in enumerate(relaxed_order(pool, suggested(pool, index, shipped_weights()))[:first]):
            start = proposal_candidate(Proposed(str(place), end.crystal, TEMPLATE, end.log_prior))
            c = relaxer.judge(start)
            if c.judged:
                rows.append({"origin": JUDGE, "id": c.id, "score": c.energy_per_atom, "log_prior": c.log_prior,
                             "crystal": c.crystal})  # fmt: skip
        made[target.id] = rows
    return made


def main() -> None:
    """Make the part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--set", choices=BENCHMARK_TARGETS, default="mp-20")
    parser.add_argument("--split", choices=["val", "test_public"], default="test_public")
    parser.add_argument("--pools", type=Path, required=True)
    parser.add_argument("--index", default="train")
    parser.add_argument("--first", type=int, default=6)
    parser.add_argument("--n", type=int, default=200, help="first targets of the pools")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("moyo").setLevel(logging.ERROR)
    made, models = load_pools(args.pools)
    pools = {p.target: p for p in made}
    targets = [t for t in benchmark_targets(args.data, args.set, args.split, 0) if t.id in pools]
    order = {name: i for i, name in enumerate(pools)}
    chosen = sorted(targets, key=lambda t: order[t.id])[: args.n]
    relaxer = Relaxer(SevenNetPotential(), SearchSettings())
    name = f"{relaxer.potential.identity}, first {args.first} of joint with {args.index}, after {models['energy']}"
    make_part(args.pools / JUDGE, chosen, name, partial(judged_rows, relaxer, pools, args.index, args.first))
    print(json.dumps({"figure": {"folder": str(args.pools)}, "n": len(chosen)}))


if __name__ == "__main__":
    main()
