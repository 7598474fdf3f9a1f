"""Candidates for a composition inside one bucket: every element-to-slot assignment of every prototype."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dao_core.generate.templates.buckets import Bucket
from dao_core.matching.fingerprint import slot_permutations

MAX_ASSIGNMENTS = 720  # seven elements of equal count would have 5040
POOL = 256  # (prototype, assignment) pairs looked at closely
SHARPNESS = 2.0  # how strongly the best-fitting entries dominate a prototype's evidence
COVERAGE_OFFSET, COVERAGE_SLOPE = -0.18, 0.56  # fitted by benchmarks/template_coverage.py
REPEAT = -7.0  # log of what is left to a near-repeat
KERNEL_WIDTH = 0.06  # fingerprint distance over which prototypes lend each other evidence


@dataclass(frozen=True)
class Candidates:
    """(prototype, assignment) pairs of one query, best evidence first; C pairs of S species.

    `rows` (C,) bucket row of the chemically nearest entry, `old` and `new` (C, S) atomic numbers of each slot before
    and after substitution, `evidence` (C,) log-sum of substitution likelihoods over the prototype's entries, `nearest`
    (C,) that of the representative alone, `votes` (C,) entries of the prototype, `prints` (C, S, S, K) fingerprints
    with classes in the order of the query's elements, `distances` (C, C) between them.
    """

    bucket: Bucket
    rows: NDArray[np.int64]
    old: NDArray[np.int64]
    new: NDArray[np.int64]
    evidence: NDArray[np.float64]
    nearest: NDArray[np.float64]
    votes: NDArray[np.int64]
    prints: NDArray[np.float32]
    distances: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pooled(self) -> NDArray[np.float64]:
        """Evidence gathered from all candidates of nearly the same geometry, (C,)."""
        lent = self.evidence[None, :] - (self.distances / KERNEL_WIDTH) ** 2
        return np.logaddexp.reduce(lent, axis=1)


def find_candidates(
    bucket: Bucket, elements: NDArray[np.int64], log_odds: NDArray[np.float64], excluded: NDArray[np.int64]
) -> Candidates | None:
    """All substitutions of some elements into a bucket, the best POOL kept.

    Args:
        bucket: Entries of one anonymous formula.
        elements: (S,), ordered as the bucket's counts.
        log_odds: Of replacing one element by another, (101, 101).
        excluded: Rows of the index that must not be used.

    Returns:
        The candidates; None where no entry is left.
    """
    perms = slot_permutations(bucket.counts, MAX_ASSIGNMENTS)  # slot j takes element perms[p, j]
    assigned = elements[perms]  # (P, S)
    score = np.zeros((len(bucket.members), len(perms)))
    for j in range(len(elements)):
        score += log_odds[np.ix_(bucket.elements[:, j], assigned[:, j])]
    score *= SHARPNESS
    gone = np.isin(bucket.members, excluded)
    score[gone] = -np.inf
    starts = bucket.starts
    evidence = np.logaddexp.reduceat(score, starts, axis=0)  # (prototypes, P)
    order = np.argsort(-evidence, axis=None, kind="stable")[:POOL]
    order = order[np.isfinite(evidence.ravel()[order])]
    if len(order) == 0:
        return None
    prototypes, chosen = np.unravel_index(order, evidence.shape)
    ends = np.append(starts[1:], len(bucket.members))
    rows = np.array(
        [starts[p] + score[starts[p] : ends[p], m].argmax() for p, m in zip(prototypes, chosen, strict=True)]
    )
    slot_of = np.argsort(perms[chosen], axis=1)  # (C, S): slot that query element s took
    prints = bucket.fingerprints[rows[:, None, None], slot_of[:, :, None], slot_of[:, None, :]]
    return Candidates(
        bucket,
        rows,
        bucket.elements[rows],
        assigned[chosen],
        evidence.ravel()[order],
        score[rows, chosen],
        np.add.reduceat(~gone, starts)[prototypes],
        prints,
        _pair_distances(prints),
    )


def log_shares(scores: NDArray[np.float64], n_distinct: int) -> NDArray[np.float64]:
    """Log of each candidate's share of the scores; the shares of distinct ones add up to one.

    A repeat of a better one gets next to nothing: what speaks for it is in the better one's share already.

    Args:
        scores: (C,), as `select_distinct` orders them.
        n_distinct: How many of them come first and are no repeats.

    Returns:
        (C,), natural logarithms.
    """
    repeat = np.arange(len(scores)) >= n_distinct
    shared = scores - np.logaddexp.reduce(scores[~repeat])
    return np.where(repeat, REPEAT + shared, shared)


def log_coverage(candidates: Candidates) -> float:
    """Log of the probability that one of the best 20 candidates is right.

    A logistic function of all evidence, in log-odds a species. Fitted on 2,500 MP-20 validation compositions against
    the index of MP-20's training split and against the AFLOW prototypes (93 % and 53 % right where there is a
    candidate; in sixths by probability, said and found differ by up to 14 points).
    """
    return -float(np.logaddexp(0.0, -(COVERAGE_OFFSET + COVERAGE_SLOPE * log_evidence(candidates))))


def log_evidence(candidates: Candidates) -> float:
    """All that speaks for a query's cell content: the log-sum of its candidates' evidence, a species."""
    return float(np.logaddexp.reduce(candidates.evidence)) / candidates.new.shape[1]


def _pair_distances(prints: NDArray[np.float32]) -> NDArray[np.float64]:
    """Root-mean-square differences between all fingerprints, (C, C)."""
    flat = prints.reshape(len(prints), -1).astype(np.float64)
    flat = (flat - flat.mean(axis=0)) / np.sqrt(flat.shape[1])  # centred: less cancellation below
    square = (flat**2).sum(axis=1)
    return np.sqrt(np.maximum(square[:, None] + square[None, :] - 2 * flat @ flat.T, 0.0))


def select_distinct(
    scores: NDArray[np.float64], k: int, repeats: Callable[[int, list[int]], bool]
) -> tuple[NDArray[np.int64], int]:
    """The best candidates, none a repeat of a better one; repeats only fill what is left.

    Args:
        scores: (C,).
        k: Most candidates.
        repeats: Called with a candidate and the better ones that were taken; True where it repeats one of those.

    Returns:
        Positions, distinct ones first, either kind best first; and how many are distinct.
    """
    kept: list[int] = []
    spare: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if len(kept) == k:
            break
        (spare if repeats(i, kept) else kept).append(i)
    return np.array((kept + spare)[:k], dtype=np.int64), len(kept)


def nearer_than(distances: NDArray[np.float64], closest: float) -> Callable[[int, list[int]], bool]:
    """Repeats by fingerprints alone, for `select_distinct`: whether any better one is nearer than that.

    Args:
        distances: Between fingerprints, (C, C).
        closest: In the same units.
    """
    return lambda i, kept: bool(kept) and bool(distances[i, kept].min() < closest)
