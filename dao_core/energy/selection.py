"""Picking one of many candidates for a composition: DAO-P's energy together with where a candidate came from.

An energy model alone picks poorly among structures that differ by less than its error (DiffCSP's best of 20 is 77.9 %,
its pick by energy 52 %), and a template's score knows what the energy does not. Both enter one softmax over the pool,
with weights fitted on validation compositions (benchmarks/ranking.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

FEATURES = (
    "energy",  # above the pool's lowest, in 0.05 eV/atom, at most 10
    "drop",  # fell by in relaxation, in 0.1 eV/atom, at most 10: far falls start from poor guesses
    "prior",  # score of the template ranker; 0 for a de novo sample
    "de_novo",
    "failed",  # no energy, or a rejected relaxation
    "log_found",  # log of how many of the pool ended at this energy and volume
)
ENERGY_UNIT, DROP_UNIT, CAP = 0.05, 0.1, 10.0
SAME_ENERGY, SAME_VOLUME = 0.004, 0.015  # eV/atom, relative: two candidates that relaxed to the same structure


@dataclass(frozen=True)
class Contender:
    """What is known of a candidate: energies per atom (eV) before and after relaxation, None without an answer.

    `prior` is the template ranker's score, None for a de novo sample; `volume_per_atom` (angstrom^3) after
    relaxation; `rejected` where relaxation was rejected or failed.
    """

    energy_start: float | None
    energy_end: float | None
    volume_per_atom: float
    prior: float | None = None
    rejected: bool = False


def pool_features(pool: Sequence[Contender]) -> NDArray[np.float64]:
    """Features of the candidates of one composition, (C, len(FEATURES))."""
    end = np.array([np.nan if c.energy_end is None else c.energy_end for c in pool])
    start = np.array([np.nan if c.energy_start is None else c.energy_start for c in pool])
    volume = np.array([c.volume_per_atom for c in pool])
    failed = np.array([c.rejected for c in pool]) | ~np.isfinite(end)
    usable = end[~failed]
    lowest = usable.min() if len(usable) else 0.0
    above = np.where(failed, CAP, np.clip((np.nan_to_num(end) - lowest) / ENERGY_UNIT, 0.0, CAP))
    drop = np.where(failed, 0.0, np.clip(np.nan_to_num(start - end) / DROP_UNIT, 0.0, CAP))
    same = np.abs(end[:, None] - end[None, :]) < SAME_ENERGY
    same &= np.abs(np.log(volume[:, None] / volume[None, :])) < SAME_VOLUME
    same &= ~failed[:, None] & ~failed[None, :]
    found = np.maximum(same.sum(axis=1), 1)
    prior = np.array([0.0 if c.prior is None else c.prior for c in pool])
    free = np.array([c.prior is None for c in pool], dtype=float)
    return np.stack([above, drop, prior, free, failed.astype(float), np.log(found)], axis=1)


@dataclass(frozen=True)
class Selector:
    """Weights of the features; the largest score is the pick."""

    weights: NDArray[np.float64]
    trained_on: str

    def scores(self, pool: Sequence[Contender]) -> NDArray[np.float64]:
        """One score for each candidate, (C,); comparable inside the pool only."""
        return np.asarray(pool_features(pool) @ self.weights)

    def order(self, pool: Sequence[Contender]) -> list[int]:
        """Positions of the candidates, best first; ties keep the pool's order."""
        return [int(i) for i in np.argsort(-self.scores(pool), kind="stable")]

    @classmethod
    def energy_only(cls) -> Selector:
        """Lowest relaxed energy first."""
        weights = np.zeros(len(FEATURES))
        weights[FEATURES.index("energy")] = -1.0
        return cls(weights, "nothing")

    @classmethod
    def fit(
        cls,
        pools: Sequence[Sequence[Contender]],
        matched: Sequence[Sequence[bool]],
        *,
        trained_on: str,
        l2: float = 0.01,
    ) -> Selector:
        """Maximum likelihood that the softmax over a pool picks a matched candidate.

        Pools without a match, or with nothing else, say nothing and are left out. Raises ValueError where none is left.
        """
        used = [
            (pool_features(p), np.array(m, dtype=bool))
            for p, m in zip(pools, matched, strict=True)
            if any(m) and not all(m)
        ]
        if not used:
            raise ValueError("no pool holds both a match and a miss: nothing to learn from")

        def loss(weights: NDArray[np.float64]) -> float:
            total = sum(logsumexp(x @ weights) - logsumexp((x @ weights)[m]) for x, m in used)
            return float(total / len(used) + l2 * (weights**2).sum())

        begin = np.zeros(len(FEATURES))
        begin[FEATURES.index("energy")], begin[FEATURES.index("prior")] = -0.3, 1.0
        best = minimize(loss, begin, method="L-BFGS-B")
        return cls(np.asarray(best.x), trained_on)

    def to_json(self) -> str:
        facts = {"features": FEATURES, "weights": [round(float(w), 6) for w in self.weights]}
        return json.dumps({**facts, "trained_on": self.trained_on}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Selector:
        """Raises ValueError where the weights belong to other features."""
        data = json.loads(text)
        if tuple(data["features"]) != FEATURES:
            raise ValueError("these weights belong to other features: fit them again (benchmarks/ranking.py --fit)")
        return cls(np.array(data["weights"], dtype=np.float64), str(data["trained_on"]))
