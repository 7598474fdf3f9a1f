"""How likely it is that the right structure is among the best 20 templates: the fit behind `log_coverage`.

python benchmarks/template_coverage.py --data ../shared/data --out runs/templates
MP-20 validation compositions against the index of the training split and against the AFLOW prototypes; found means a
template whose fingerprint lies within FOUND of the reference's. Fits the logistic function of the evidence a species
on both together and prints its two constants, with said and found shares in sixths. The test split is never read.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from templates import Row, load_or_build, read_split

from dao_core.generate.templates.aflow import aflow_index
from dao_core.generate.templates.index import SHARED_BY, TemplateIndex
from dao_core.generate.templates.ranker import candidate_features
from dao_core.generate.templates.search import nearer_than, select_distinct
from dao_core.matching.fingerprint import SAME_DISTANCE, fingerprint, slots_of

FOUND = 0.1  # closer than this, relaxation nearly always leads from one to the other


def evidence_and_found(index: TemplateIndex, rows: list[Row]) -> NDArray[np.float64]:
    """Evidence in log-odds a species and whether the search found the structure, (M, 2); no candidate, no row."""
    out = []
    for row in rows:
        candidates_of = index.candidates(row.crystal.composition)
        if candidates_of is None:
            continue
        elements, candidates = candidates_of
        features = candidate_features(candidates, elements, index.spacegroups, index.atomic_volumes)
        scores = index.ranker.score(features)
        chosen, _ = select_distinct(scores, SHARED_BY, nearer_than(candidates.distances, SAME_DISTANCE))
        truth = fingerprint(row.crystal, slots_of(row.crystal.atomic_numbers))
        away = np.sqrt(((candidates.prints[chosen] - truth) ** 2).mean(axis=(1, 2, 3)))
        evidence = float(np.logaddexp.reduce(candidates.evidence)) / len(elements)
        out.append((evidence, float(away.min() < FOUND)))
    return np.array(out)


def fit(known: NDArray[np.float64]) -> NDArray[np.float64]:
    """Offset and slope of the logistic function by maximum likelihood."""
    sign = 2 * known[:, 1] - 1

    def loss(theta: NDArray[np.float64]) -> float:
        return float(np.logaddexp(0.0, -sign * (theta[0] + theta[1] * known[:, 0])).sum())

    return np.asarray(minimize(loss, np.array([0.0, 0.5]), method="Nelder-Mead").x)


def sixths(known: NDArray[np.float64], theta: NDArray[np.float64]) -> list[list[float]]:
    """Mean of what is said and of what was found."""
    said = 1 / (1 + np.exp(-(theta[0] + theta[1] * known[:, 0])))
    parts = np.array_split(np.argsort(said), 6)
    return [[round(float(said[p].mean()), 3), round(float(known[p, 1].mean()), 3)] for p in parts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", "--limit", type=int, default=2500)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = read_split(args.data / "mp_20" / "val.parquet")
    rows = [rows[i] for i in np.random.default_rng(5).permutation(len(rows))[: args.n]]
    indices = {"mp_20 train": load_or_build(args.data, "mp_20", args.out)[0], "AFLOW": aflow_index()}
    known = {name: evidence_and_found(index, rows) for name, index in indices.items()}
    theta = fit(np.concatenate(list(known.values())))
    figure = {
        "offset_slope": theta.round(3).tolist(),
        "found": {name: round(float(k[:, 1].mean()), 3) for name, k in known.items()},
        "with_candidates": {name: len(k) for name, k in known.items()},
        "said_and_found": {name: sixths(k, theta) for name, k in known.items()},
    }
    print(json.dumps({"figure": figure, "n": len(rows), "seed": 5, "machine": platform.machine()}))


if __name__ == "__main__":
    main()
