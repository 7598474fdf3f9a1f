"""Fit the joint prior of templates and symmetry on validation compositions (dao_core/screening/joint.py).

python benchmarks/fit_joint_prior.py --pools DIR [--write]
Reads the pools that joint_pools.py made of MP-20's validation split (`--split val --index train=DIR --index without=DIR
--index prototypes=aflow --symmetry`). A conditional logit: the probability of a suggestion is the softmax of its
weighted features over the suggestions of its cell and "none of them"; maximised is that of what matches the target. One
set of weights for all indexes of --fit, so that it holds for a large library, for one that holds nothing of the
compositions and for the few prototypes that ship. Reported are, cross-fitted by composition, match rates of the joint
order beside those of templates and of symmetry alone, and calibration.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joint_pools import ENERGY, FLOW, SYMMETRY, Pool, load_pools
from numpy.typing import NDArray
from scipy.optimize import minimize

import dao_core.screening as screening
from dao_core.artifacts import write_atomic
from dao_core.screening.joint import FEATURES, features_of, group_same

KS = (1, 5, 20)
FOLDS = 5
SHRINKAGE = 1e-3  # of squared weights against the mean log likelihood
BEYOND = 10**6  # rank of what was not found


@dataclass(frozen=True, eq=False)
class CellEvidence:
    """Suggestions for one target: `features` (G, F) and which are `right` (G,)."""

    formula: str
    features: NDArray[np.float64]
    right: NDArray[np.bool_]


def evidence(pool: Pool, index: str) -> CellEvidence:
    """Suggestions from one index and symmetry."""
    groups = group_same(pool.hits.get(index, []), pool.proposals)
    return CellEvidence(
        pool.formula, features_of(groups), np.array([pool.right(g.crystal) for g in groups], dtype=bool)
    )


def fit(cells: Sequence[CellEvidence]) -> NDArray[np.float64]:
    """Weights of the largest likelihood, (F,)."""
    x, right = np.concatenate([c.features for c in cells]), np.concatenate([c.right for c in cells])
    cell = np.repeat(np.arange(len(cells)), [len(c.right) for c in cells])

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = x @ weights
        highest = np.zeros(len(cells))  # "none of them" has log-odds zero
        np.maximum.at(highest, cell, odds)
        shares = np.exp(odds - highest[cell])
        total = np.exp(-highest) + np.bincount(cell, shares, len(cells))
        hit = np.bincount(cell, shares * right, len(cells))
        none = hit == 0
        wanted = np.where(none, np.exp(-highest), hit)
        among_right = np.where(none, 0.0, 1.0 / np.where(none, 1.0, hit))[cell] * shares * right
        gradient = x.T @ (shares / total[cell] - among_right) / len(cells)
        return (
            float(np.log(total / wanted).mean() + SHRINKAGE * weights @ weights),
            gradient + 2 * SHRINKAGE * weights,
        )

    start = np.zeros(len(FEATURES))
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x)


def first_right(cell: CellEvidence, weights: NDArray[np.float64]) -> int:
    """Rank of the first right suggestion."""
    order = np.argsort(-(cell.features @ weights), kind="stable")
    hits = np.flatnonzero(cell.right[order])
    return int(hits[0]) if len(hits) else BEYOND


def probabilities(cell: CellEvidence, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each suggestion."""
    odds = cell.features @ weights
    total = np.logaddexp(0.0, np.logaddexp.reduce(odds, initial=-np.inf))
    return np.asarray(np.exp(odds - total))


def rates(ranks: Sequence[int]) -> list[float]:
    """Percent found at each k."""
    return [round(100 * float(np.mean([r < k for r in ranks])), 1) for k in KS]


def ranks_alone(pools: Sequence[Pool], index: str | None) -> list[int]:
    """Rank of the first right structure of an index alone, or of symmetry alone."""
    out = []
    for pool in pools:
        rows = [p.crystal for p in pool.proposals] if index is None else [h.crystal for h in pool.hits.get(index, [])]
        out.append(next((i for i, c in enumerate(rows) if pool.right(c)), BEYOND))
    return out


def calibration(cells: Sequence[CellEvidence], ps: Sequence[NDArray[np.float64]]) -> list[dict[str, float]]:
    """By the probability that any is right, in fifths of the cells: what was said and what came."""
    said = np.array([p.sum() for p in ps])
    came = np.array([c.right.any() for c in cells])
    first = np.array([p.max(initial=0.0) for p in ps])
    hit = np.array([bool(c.right[p.argmax()]) if len(p) else False for c, p in zip(cells, ps, strict=True)])
    return [
        {"any_said": round(float(said[part].mean()), 3), "any_came": round(float(came[part].mean()), 3),
         "first_said": round(float(first[part].mean()), 3), "first_came": round(float(hit[part].mean()), 3)}
        for part in np.array_split(np.argsort(first), 5)
    ]  # fmt: skip


def main() -> None:
    """Cross-fit, report, fit on everything, and write the weights if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=Path, required=True)
    parser.add_argument(
        "--fit", default="train,without,prototypes", help="indexes of the pools that the weights are fitted on"
    )
    parser.add_argument("--write", action="store_true", help="into the package")
    parser.add_argument("--out", type=Path, default=None, help="write the weights there instead")
    args = parser.parse_args()
    pools = [p for p in load_pools(args.pools)[0] if SYMMETRY in p.parts]
    names = sorted(set.intersection(*(p.parts for p in pools)) - {SYMMETRY, FLOW, ENERGY})
    cells = {name: [evidence(pool, name) for pool in pools] for name in names}
    fold = np.array([zlib.crc32(pool.formula.encode()) % FOLDS for pool in pools])
    fitted_on = args.fit.split(",")
    report: dict[str, Any] = {"n": len(pools), "symmetry alone": rates(ranks_alone(pools, None))}
    folds = [fit([cells[n][i] for n in fitted_on for i in np.flatnonzero(fold != k)]) for k in range(FOLDS)]
    for name in names:
        ranks = [first_right(cell, folds[fold[i]]) for i, cell in enumerate(cells[name])]
        ps = [probabilities(cell, folds[fold[i]]) for i, cell in enumerate(cells[name])]
        report[name] = {"templates alone": rates(ranks_alone(pools, name)), "joint, cross-fitted": rates(ranks),
                        "calibration": calibration(cells[name], ps)}  # fmt: skip
    weights = fit([c for n in fitted_on for c in cells[n]])
    report["weights"] = {name: round(float(w), 3) for name, w in zip(FEATURES, weights, strict=True)}
    if args.write or args.out is not None:
        path = args.out or Path(screening.__file__).parent / "data" / "joint_prior.json"
        source = f"benchmarks/fit_joint_prior.py, {len(pools)} compositions of MP-20 validation, indexes {args.fit}"
        write_atomic(path, json.dumps({"weights": report["weights"], "source": source}, indent=1) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
