"""The figures of a structure prediction benchmark: rows of hard cases, scorecards, seeds averaged, coverage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from dao_core.evaluate.scorecard import Scorecard, score_table
from dao_core.evaluate.statistics import bootstrap_mean
from dao_core.generate.sampler import DE_NOVO
from dao_core.generate.templates.index import TemplateIndex
from dao_core.matching.fingerprint import prototype_key, slots_of, symmetry_of
from dao_core.studies.csp_benchmark import HARD, ShardResult, Target, reduced


def hard_cases(targets: Sequence[Target], index: TemplateIndex) -> dict[str, list[int]]:
    """Positions of the targets in each row of the table, by what the training split knows of them.

    Args:
        targets: Of the benchmark.
        index: Templates of the training split.

    Returns:
        Row of the table -> positions in `targets`.
    """
    formulas = {reduced(c) for c in index.crystals}
    keys = set(index.keys)
    rows: dict[str, list[int]] = {name: [] for name in HARD}
    for i, target in enumerate(targets):
        rows["all"].append(i)
        if target.exact:
            rows["exact"].append(i)
        if target.formula not in formulas:
            rows["composition unseen"].append(i)
        if len(target.formula) > 3:
            rows["more than 3 elements"].append(i)
        number, wyckoffs = symmetry_of(target.crystal)
        if prototype_key(slots_of(target.crystal.atomic_numbers), number, wyckoffs)[0] not in keys:
            rows["prototype unseen"].append(i)
    return rows


def cards(
    targets: Sequence[Target], result: ShardResult, rows: Mapping[str, Sequence[int]], ks: Sequence[int]
) -> dict[str, Scorecard]:
    """A scorecard for each row of the table that has targets.

    Args:
        targets: Of the benchmark.
        result: All shards of one column and seed.
        rows: From `hard_cases`.
        ks: Numbers of first predictions at which the match rate is given.

    Returns:
        Row -> scorecard.
    """
    out = {}
    for name, members in rows.items():
        if not members:
            continue
        out[name] = score_table(
            table=[result.table[i] for i in members],
            predicted=[result.predicted[i] for i in members],
            reference=[targets[i].crystal for i in members],
            ks=ks,
            metre_rms=None if result.metre is None else result.metre[list(members)],
        )[0]
    return out


def over_seeds(
    results: Sequence[ShardResult], members: Sequence[int], ks: Sequence[int]
) -> dict[int, dict[str, object]]:
    """Unfiltered match rate averaged over seeds.

    Args:
        results: Of one column, one for each seed.
        members: Positions of the targets that count.
        ks: Numbers of first predictions.

    Returns:
        k -> mean in percent with a 95 % bootstrap interval over targets.
    """
    out: dict[int, dict[str, object]] = {}
    for k in ks:
        hit = np.array(
            [[any(c.rms is not None for c in r.table[i][:k]) for i in members] for r in results], dtype=float
        )  # (seeds, targets)
        low, high = bootstrap_mean(values=hit.mean(axis=0))
        out[k] = {
            "match_rate": float(hit.mean() * 100),
            "interval": [low * 100, high * 100],
            "each_seed": (hit.mean(axis=1) * 100).tolist(),
        }
    return out


def merged(results: Sequence[ShardResult]) -> ShardResult:
    """Shards of one column and seed, one after the other."""
    return ShardResult(
        [row for r in results for row in r.predicted],
        [row for r in results for row in r.origins],
        [row for r in results for row in r.table],
        None if any(r.metre is None for r in results) else np.concatenate([r.metre for r in results]),  # type: ignore[misc]
        sum(r.n_failed_draws for r in results),
    )


def coverage(targets: Sequence[Target], result: ShardResult) -> dict[str, int]:
    """How many targets have all, some or none of their predictions, and where those came from.

    Args:
        targets: Of the benchmark.
        result: All shards of one column and seed.

    Returns:
        Counts by name.
    """
    present = [[c is not None for c in row] for row in result.predicted]
    counts = Counter("none" if not any(row) else "all" if all(row) else "some" for row in present)
    origins = Counter("de novo" if o == DE_NOVO else "template" for row in result.origins for o in row)
    failed = {"failed draws": result.n_failed_draws} if result.n_failed_draws else {}
    return {"n_targets": len(targets), **{f"with_{k}": v for k, v in counts.items()}, **dict(origins), **failed}
