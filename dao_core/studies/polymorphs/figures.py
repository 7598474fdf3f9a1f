"""Figures and pictures of the study of polymorphs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dao_core.evaluate.polymorphs import paired_difference, polymorph_figures
from dao_core.evaluate.statistics import wilson
from dao_core.matching.pairs import FAILED
from dao_core.studies.polymorphs.settings import ARMS, PolymorphSettings

if TYPE_CHECKING:
    import pandas as pd

Best = dict[str, NDArray[np.float64]]


def best_rms(matches: pd.DataFrame, arms: pd.DataFrame, arm: str, k: int) -> Best:
    """Smallest rms of each reference over the first k proposals of each cell content, NaN without a match.

    Args:
        matches: Table of the study.
        arms: Table of the study; a composition for which an arm proposed nothing counts as not found.
        arm: Whose proposals.
        k: How many of each cell content.
    """
    found: Best = {}
    chosen = matches[(matches["arm"] == arm) & (matches["rank"] < k)] if len(matches) else matches
    for row in arms[arms["arm"] == arm].itertuples():
        names = str(row.references).split(",")
        own = chosen[chosen["formula"] == row.formula] if len(chosen) else chosen
        smallest: Mapping[Any, Any] = own.groupby("reference")["rms"].min().to_dict() if len(own) else {}
        found[str(row.formula)] = np.array([float(smallest.get(n, np.nan)) for n in names])
    return found


def summarise(
    tables: Mapping[str, pd.DataFrame], settings: PolymorphSettings, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Coverage, METRe and cRMSE of each arm; both sides against templates; the subset with the random arm; the order.

    Args:
        tables: `matches`, `arms`, `order` of all parts.
        settings: Of the study.
        facts: Of `prepare`.
    """
    arms, matches = tables["arms"], tables["matches"]
    sampled = arms[arms["kind"] == "sampled"]
    own = matches[matches["formula"].isin(sampled["formula"])]
    report: dict[str, Any] = {"data": dict(facts), "k": settings.k, "seed": settings.seed, "arms": {}}
    if len(sampled):
        report |= _paired(own, sampled, settings.k)
    report["comparisons"] = {"n": len(matches), "n_failed": int(matches["reason"].isin(FAILED).sum())}
    report["with_random"] = _with_random(matches, arms, settings)
    report["order_by_energy"] = _order(tables.get("order"))
    everything = arms[arms["arm"] == "templates"]
    known = best_rms(matches, everything, "templates", settings.k)
    report["templates_on_all"] = polymorph_figures(best_rms=known)[0] if known else None
    report["named"] = {f: _by_reference(f, known, everything) for f in settings.named if f in known}
    return report


def _paired(matches: pd.DataFrame, sampled: pd.DataFrame, k: int) -> dict[str, Any]:
    """Figures of the three arms that every sampled composition has, and their differences to templates alone."""
    best = {arm: best_rms(matches, sampled, arm, k) for arm in ARMS[:3]}
    return {
        "arms": {arm: {**polymorph_figures(best_rms=b)[0], **_effort(sampled, arm)} for arm, b in best.items()},
        "both_less_templates": paired_difference(first=best["both"], second=best["templates"]),
        "dao_g_less_templates": paired_difference(first=best["dao-g"], second=best["templates"]),
    }


def _by_reference(formula: str, found: Best, arms: pd.DataFrame) -> dict[str, float | None]:
    names = str(arms[arms["formula"] == formula]["references"].iloc[0]).split(",")
    return {name: _number(rms) for name, rms in zip(names, found[formula], strict=True)}


def _number(x: float) -> float | None:
    return round(float(x), 4) if np.isfinite(x) else None


def _effort(arms: pd.DataFrame, arm: str) -> dict[str, Any]:
    rows = arms[arms["arm"] == arm]
    proposed = int(rows["n_proposed"].sum())
    return {
        "n_proposed": proposed,
        "distinct_percent": round(100 * float(rows["n_distinct"].sum()) / proposed, 1) if proposed else None,
        "without_any_proposal": int((rows["n_proposed"] == 0).sum()),
    }


def _with_random(matches: pd.DataFrame, arms: pd.DataFrame, settings: PolymorphSettings) -> dict[str, Any] | None:
    """All arms on the compositions that got random structures, with as many proposals each.

    In a report of some parts those whose other arms are not done yet are left out.
    """
    by_kind = {kind: set(arms[arms["kind"] == kind]["formula"]) for kind in ("random", "sampled")}
    formulas, k = by_kind["random"] & by_kind["sampled"], settings.random.k
    if not formulas:
        return None
    same = arms[arms["formula"].isin(formulas) & arms["kind"].isin(["sampled", "random"])]
    out: dict[str, Any] = {"k": k, "relax_steps": settings.random.relax_steps}
    for arm in ARMS:
        out[arm] = {**polymorph_figures(best_rms=best_rms(matches, same, arm, k))[0], **_effort(same, arm)}
    return out


def _order(table: pd.DataFrame | None) -> dict[str, Any] | None:
    if table is None or table.empty:
        return None
    n, right = len(table), int(table["same_order"].sum())
    low, high = wilson(n_hit=right, n=n)
    return {"pairs": n, "same_order": right, "percent": 100 * right / n, "interval": [100 * low, 100 * high]}


def plot(tables: Mapping[str, pd.DataFrame], report: Mapping[str, Any], folder: Path) -> None:
    """METRe and the share of compositions with all references found, against the number of proposals.

    Args:
        tables: As for `summarise`.
        report: Its figures.
        folder: Gets `polymorphs.png`.
    """
    from matplotlib.figure import Figure

    arms, matches = tables["arms"], tables["matches"]
    sampled = arms[arms["kind"] == "sampled"]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = sorted({k for k in (1, 2, 5, 10, 20, 50, 100, report["k"]) if k <= report["k"]})
    for arm in ARMS[:3] if len(sampled) else ():
        curves = [polymorph_figures(best_rms=best_rms(matches, sampled, arm, k))[0] for k in steps]
        left.plot(steps, [c["metre"] for c in curves], marker="o", label=arm)
        right.plot(steps, [c["all_found"]["any"]["percent"] for c in curves], marker="o", label=arm)
    for axis, title in ((left, "references found (METRe), %"), (right, "compositions with all found, %")):
        axis.set(xlabel="structures proposed for each cell content", title=title, xscale="log", ylim=(0, 100))
        axis.grid(alpha=0.3)
    if len(sampled):
        left.legend()
    figure.savefig(folder / "polymorphs.png", dpi=130)
