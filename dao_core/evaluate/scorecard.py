"""The benchmark table of a set of predictions: match rate and RMSE at k, filters, METRe, cRMSE, misses explained."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.evaluate.statistics import bootstrap_mean, wilson
from dao_core.evaluate.validity import validity
from dao_core.matching.pairs import FAILED, ONE_PROCESS, MatchEffort, match_pairs
from dao_core.matching.rms import BENCHMARK, Comparison

Predictions = Sequence[Sequence[Crystal | None]]
STAGES = ("none", "failed", "timeout", "composition", "cell_size", "lattice", "sites", "matched")


@dataclass(frozen=True)
class AtK:
    """Figures of the first k predictions of each target. Rates in percent, rmse in units of (V/N)^(1/3).

    `crmse` counts a target without a match as the site tolerance (0.5), so a method cannot gain by matching less.
    """

    k: int
    match_rate: float
    match_interval: tuple[float, float]
    rmse: float | None
    rmse_interval: tuple[float, float] | None
    crmse: float


@dataclass(frozen=True)
class Scorecard:
    """All figures with their number of targets. A run is complete when n_ok + n_failed == n."""

    n: int
    n_ok: int
    n_failed: int
    unfiltered: list[AtK]
    filtered: list[AtK]
    metre: float | None
    metre_crmse: float | None
    same_spacegroup: float
    misses: dict[str, int]
    extra: dict[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def scorecard(
    *,
    predicted: Predictions,
    reference: Sequence[Crystal],
    ks: Sequence[int] = (1, 5, 20),
    effort: MatchEffort = ONE_PROCESS,
    with_metre: bool = False,
) -> tuple[Scorecard, int, int, dict[str, int]]:
    """Score ranked predictions against the structures that they should be.

    A target fails (is not measured) if none of its pairs matched and one of them ran out of time or died; it counts as
    a miss in every rate. Filtered: a match counts only if prediction and reference pass `validity`; the denominator
    stays the same; the miss `validity` counts matches lost to it. Same space group: of the first prediction, over all
    targets. METRe: share of references matched by any prediction for the same composition (Martirossyan et al.,
    arXiv:2509.12178); costly, hence optional.

    Args:
        predicted: predicted[i] are the predictions for reference[i], best first; None where there is none.
        reference: The true structures.
        ks: Numbers of first predictions at which the match rate is given.
        effort: Processes and time limit of the comparisons.
        with_metre: Whether METRe is computed.

    Returns:
        (card, n_ok, n_failed, counts of outcomes).
    """
    if len(predicted) != len(reference):
        raise ValueError(f"{len(predicted)} lists of predictions for {len(reference)} references: give one for each")
    table = compare_all(predicted=predicted, reference=reference, effort=effort)
    pool = metre_rms(predicted=predicted, reference=reference, effort=effort) if with_metre else None
    return score_table(table=table, predicted=predicted, reference=reference, ks=ks, metre_rms=pool)


def score_table(
    *,
    table: Sequence[Sequence[Comparison]],
    predicted: Predictions,
    reference: Sequence[Crystal],
    ks: Sequence[int] = (1, 5, 20),
    metre_rms: NDArray[np.float64] | None = None,
) -> tuple[Scorecard, int, int, dict[str, int]]:
    """The scorecard of comparisons that `compare_all` made, perhaps of some rows of them.

    Args:
        table: table[i][j] compares predicted[i][j] with reference[i].
        predicted: As given to `compare_all`.
        reference: The true structures.
        ks: Numbers of first predictions at which the match rate is given.
        metre_rms: (n,), from the function of that name; None leaves METRe out.

    Returns:
        (card, n_ok, n_failed, counts of outcomes).
    """
    rms = [[c.rms for c in row] for row in table]
    gated = _gate(rms, predicted, reference)
    outcomes = [_outcome(row) for row in table]
    barred = sum(any(r is not None for r in a) and all(r is None for r in b) for a, b in zip(rms, gated, strict=True))
    n_failed = sum(o in FAILED for o in outcomes)
    card = Scorecard(
        n=len(reference),
        n_ok=len(reference) - n_failed,
        n_failed=n_failed,
        unfiltered=[_at_k(rms, k) for k in ks],
        filtered=[_at_k(gated, k) for k in ks],
        metre=None if metre_rms is None else float(np.isfinite(metre_rms).mean() * 100),
        metre_crmse=None if metre_rms is None else float(np.nan_to_num(metre_rms, nan=BENCHMARK.sites).mean()),
        same_spacegroup=_same_spacegroup(predicted, reference),
        misses=dict(Counter(o for o in outcomes if o != "matched")) | {"validity": barred},
    )
    return card, card.n_ok, n_failed, dict(Counter(outcomes))


def _gate(
    rms: Sequence[Sequence[float | None]], predicted: Predictions, reference: Sequence[Crystal]
) -> list[list[float | None]]:
    """The matches of which prediction and reference both pass `validity`; only matched predictions are looked at."""
    matched = [
        c
        for row, matches in zip(predicted, rms, strict=True)
        for c, r in zip(row, matches, strict=True)
        if r is not None
    ]
    flags = iter(validity(crystals=matched)[0])
    kept = [[r if r is not None and next(flags) else None for r in row] for row in rms]
    return [row if ok else [None] * len(row) for row, ok in zip(kept, validity(crystals=reference)[0], strict=True)]


def compare_all(*, predicted: Predictions, reference: Sequence[Crystal], effort: MatchEffort) -> list[list[Comparison]]:
    """Every prediction against its own reference, in the predictions' shape."""
    flat_predicted = [c for row in predicted for c in row]
    flat_reference = [r for row, r in zip(predicted, reference, strict=True) for _ in row]
    comparisons = match_pairs(predicted=flat_predicted, reference=flat_reference, effort=effort)[0]
    results = iter(comparisons)
    return [[next(results) for _ in row] for row in predicted]


def _outcome(row: Sequence[Comparison]) -> str:
    """How far the best prediction of a target came; `none` without any prediction."""
    reasons = {c.reason for c in row}
    if "matched" in reasons:
        return "matched"
    for failure in FAILED:
        if failure in reasons:
            return failure
    return max(reasons, key=STAGES.index, default="none")


def _at_k(rms: Sequence[Sequence[float | None]], k: int) -> AtK:
    best = np.array([min((r for r in row[:k] if r is not None), default=np.nan) for row in rms])
    hit = np.isfinite(best)
    low, high = wilson(n_hit=int(hit.sum()), n=len(hit))
    matched = best[hit]
    return AtK(
        k,
        float(hit.mean() * 100),
        (low * 100, high * 100),
        float(matched.mean()) if hit.any() else None,
        bootstrap_mean(values=matched) if hit.any() else None,
        float(np.nan_to_num(best, nan=BENCHMARK.sites).mean()),
    )


def _same_spacegroup(predicted: Predictions, reference: Sequence[Crystal]) -> float:
    """Percent of targets whose first prediction has the reference's space group."""
    from dao_core.matching.fingerprint import symmetry_of

    pairs = [(row[0] if row else None, r) for row, r in zip(predicted, reference, strict=True)]
    same = [p is not None and symmetry_of(p)[0] == symmetry_of(r)[0] for p, r in pairs]
    return float(np.mean(same) * 100)


def metre_rms(
    *, predicted: Predictions, reference: Sequence[Crystal], effort: MatchEffort = ONE_PROCESS
) -> NDArray[np.float64]:
    """Smallest rms of each reference against all predictions that were made for its composition.

    Args:
        predicted: predicted[i] are the predictions for reference[i].
        reference: The true structures, all of one composition together.
        effort: Processes and time limit of the comparisons.

    Returns:
        (n,), in units of (volume / atoms)^(1/3), NaN without a match.
    """
    by_formula: dict[str, list[int]] = defaultdict(list)
    for i, crystal in enumerate(reference):
        by_formula[crystal.formula_reduced].append(i)
    owners, left, right = [], [], []
    for members in by_formula.values():
        candidates = [c for i in members for c in predicted[i]]
        for i in members:
            owners += [i] * len(candidates)
            left += candidates
            right += [reference[i]] * len(candidates)
    comparisons = match_pairs(predicted=left, reference=right, effort=effort)[0]
    best = np.full(len(reference), np.inf)
    for owner, comparison in zip(owners, comparisons, strict=True):
        if comparison.rms is not None:
            best[owner] = min(best[owner], comparison.rms)
    return np.where(np.isfinite(best), best, np.nan)
