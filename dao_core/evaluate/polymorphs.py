"""Figures of a search for all known structures of a composition: coverage, METRe, cRMSE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dao_core.evaluate.statistics import N_DRAWS, bootstrap_mean, wilson
from dao_core.matching.rms import BENCHMARK


def polymorph_figures(
    *, best_rms: Mapping[str, NDArray[np.float64]], n_unmeasured: int = 0
) -> tuple[dict[str, Any], int, int, dict[str, int]]:
    """How completely the known structures of compositions were found: (figures, n_ok, n_failed, reasons).

    `metre` is the percentage of references that any prediction for their composition matches (Martirossyan et al.,
    arXiv:2509.12178), its interval a bootstrap over compositions; `crmse` counts a miss as the site tolerance; `rmse`
    is the mean over what was found; `all_found` gives, by the number of references, the percentage of compositions of
    which every reference was found, with Wilson's interval.

    Args:
        best_rms: By composition, the smallest rms of each reference in units of (V/N)^(1/3), NaN without a match.
        n_unmeasured: References without a match of which a comparison ran out of time; they count as not found.

    Raises:
        ValueError: No composition is given.
    """
    if not best_rms:
        raise ValueError("no compositions: nothing to measure")
    every = np.concatenate([np.asarray(v, dtype=float) for v in best_rms.values()])
    hit = np.isfinite(every)
    figures: dict[str, Any] = {
        "n_compositions": len(best_rms),
        "n_references": len(every),
        "metre": 100 * float(hit.mean()),
        "metre_interval": _metre_interval(list(best_rms.values())),
        "crmse": float(np.nan_to_num(every, nan=BENCHMARK.sites).mean()),
        "rmse": float(every[hit].mean()) if hit.any() else None,
        "all_found": _all_found(best_rms),
    }
    n = len(every)
    return figures, n - n_unmeasured, n_unmeasured, {"found": int(hit.sum()), "not found": int(n - hit.sum())}


def _all_found(best_rms: Mapping[str, NDArray[np.float64]]) -> dict[str, dict[str, Any]]:
    by_size: dict[int, list[bool]] = {}
    for values in best_rms.values():
        by_size.setdefault(len(values), []).append(bool(np.isfinite(values).all()))
    out: dict[str, dict[str, Any]] = {}
    for size, flags in [("any", [f for row in by_size.values() for f in row]), *sorted(by_size.items())]:
        low, high = wilson(n_hit=sum(flags), n=len(flags))
        out[str(size)] = {
            "n": len(flags),
            "n_all_found": sum(flags),
            "percent": 100 * sum(flags) / len(flags),
            "interval": [100 * low, 100 * high],
        }
    return out


def _metre_interval(groups: list[NDArray[np.float64]]) -> list[float]:
    """95 % bootstrap interval in percent; whole compositions are drawn, because their references stand together."""
    hits = np.array([np.isfinite(g).sum() for g in groups], dtype=float)
    sizes = np.array([len(g) for g in groups], dtype=float)
    drawn = np.random.default_rng(0).integers(0, len(groups), size=(N_DRAWS, len(groups)))
    shares = hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return [100 * float(x) for x in np.percentile(shares, [2.5, 97.5])]


def paired_difference(
    *, first: Mapping[str, NDArray[np.float64]], second: Mapping[str, NDArray[np.float64]]
) -> dict[str, Any]:
    """Share of a composition's references that `first` finds less what `second` finds, averaged over compositions.

    Args:
        first: As `best_rms` of `polymorph_figures`.
        second: The same compositions by another method.

    Returns:
        `mean` in percentage points, its 95 % bootstrap `interval`, and `n` compositions.

    Raises:
        ValueError: The compositions differ: a paired difference needs both on the same.
    """
    if first.keys() != second.keys() or not first:
        raise ValueError(f"{len(first)} and {len(second)} compositions, not the same ones: measure both on each")
    gaps = np.array([np.isfinite(first[f]).mean() - np.isfinite(second[f]).mean() for f in first]) * 100
    return {"mean": float(gaps.mean()), "interval": list(bootstrap_mean(values=gaps)), "n": len(gaps)}
