"""The numbers behind a candidate's probability, fitted on MP-20's validation split and cross-fitted.

python benchmarks/fit_posterior.py --data ../shared/data --work DIR [--n 120] [--write]

Each composition is searched as users search it, every other one without its own structures in the library. Right is the
listed structure (benchmark tolerances). Fitted are, by what the library knows of the formula, the temperature of each
energy model and the weight of the prior (largest likelihood of the right one among those found), and how often any
candidate is right. Cross-fitted: each fifth is scored with the numbers of the others. Searches are kept in the work
folder; `--write` puts the numbers into dao_core/screening/data/calibration.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
from leave_out import without_the_compound
from templates import read_split

import dao_core.screening as screening
from dao_core.crystal import Crystal
from dao_core.matching.same import LOOSE, same_crystal
from dao_core.screening.calibration import Calibration, Context, ContextCalibration, context_of, shipped_calibration
from dao_core.screening.candidate import Candidate
from dao_core.screening.candidate_table import load_candidates, save_candidates
from dao_core.screening.load_models import load_search_models
from dao_core.screening.ranking import RankingRule, log_posteriors
from dao_core.screening.search import search
from dao_core.screening.settings import JudgeSettings, SearchSettings, proposal_shares

FIRST = (0.04, 0.06, 0.1, 0.15, 0.25, 0.4, 0.7)  # eV/atom: temperatures tried for the first model
SECOND = (0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1)  # and for the judge
WEIGHTS = (0.25, 0.5, 0.75, 1.0, 1.25)
LARGEST = 20  # atoms: MP-20 lists nothing larger, so a larger candidate can't be right there and would bias the fit
FOLDS = 5
PRIOR_STRENGTH = 5.0  # compositions that the numbers of all contexts together count for in one context
Pool = tuple[str, list[Candidate], list[bool]]  # context, candidates, which are right


def searched(targets: list[tuple[str, Crystal]], work: Path, n: int, judge: str) -> list[Pool]:
    """Candidates of each target's composition, from the work folder where they are there."""
    whole = load_search_models(judge=judge)
    sides = (whole, without_the_compound(whole))
    settings = SearchSettings(**proposal_shares(n), judge=JudgeSettings(n_judged=6))
    work.mkdir(parents=True, exist_ok=True)
    pools = []
    for i, (name, crystal) in enumerate(targets):
        path = work / f"{i % 2}-{name}.parquet"
        if not path.exists():
            found = search([crystal.formula_reduced], sides[i % 2], settings).candidates
            save_candidates(found, path)
            print(f"{i + 1} of {len(targets)}: {crystal.formula_reduced}, {len(found)} candidates", flush=True)
        candidates = [c for c in load_candidates(path) if c.crystal.n_atoms <= LARGEST]
        right = [same_crystal(crystal, c.crystal, LOOSE) for c in candidates]
        pools.append((context_of(candidates), candidates, right))
    return pools


def textbook(work: Path) -> list[Pool]:
    """The searches of textbook formulas, all with the judge, that ground_states.py has finished."""
    from ground_states import references
    from textbook import elements, further

    pools = []
    for formula, known in (elements() | references() | further()).items():
        path = work / "library" / f"{formula}.parquet"
        if path.exists():
            candidates = load_candidates(path)
            right = [same_crystal(known, c.crystal) for c in candidates]
            pools.append((context_of(candidates), candidates, right))
    return pools


def rule_of(numbers: ContextCalibration, names: dict[str, str]) -> RankingRule:
    """A rule with the same numbers in every context."""
    contexts = dict.fromkeys(get_args(Context), numbers)
    return RankingRule(names, calibration=Calibration(shipped_calibration().error, contexts))  # type: ignore[arg-type]


def log_likelihood(pool: Pool, rule: RankingRule) -> float | None:
    """Log of the posterior of the right ones; None where none was found."""
    _, candidates, right = pool
    logs = log_posteriors(candidates, rule)
    values = [logs[c.id] for c, ok in zip(candidates, right, strict=True) if ok]
    return None if not values else float(np.logaddexp.reduce(values))


def first_is_right(pool: Pool, rule: RankingRule) -> bool:
    """Whether the most probable candidate is right."""
    _, candidates, right = pool
    logs = log_posteriors(candidates, rule)
    return bool(candidates) and right[int(np.argmax([logs[c.id] for c in candidates]))]


def grid(judge: str) -> list[ContextCalibration]:
    """Every set of numbers that is tried."""
    base = shipped_calibration().contexts["prototype"]
    return [
        replace(base, temperature={**base.temperature, "dao": first, judge: second}, prior_weight=weight)
        for first, second, weight in product(FIRST, SECOND, WEIGHTS)
    ]


def table_of(pools: list[Pool], numbers: list[ContextCalibration], names: dict[str, str]) -> np.ndarray:
    """Log-likelihoods, (pools, sets of numbers); NaN where nothing right was found."""
    rules = [rule_of(n, names) for n in numbers]
    return np.array([[np.nan if (v := log_likelihood(p, r)) is None else v for r in rules] for p in pools])


def fit(table: np.ndarray, rows: np.ndarray, everything: np.ndarray) -> int:
    """The set of numbers of the largest likelihood over some rows, leaning on that over all of `everything`."""
    mean = np.nanmean(table[everything], axis=0)
    return int(np.argmax(np.nansum(table[rows], axis=0) + PRIOR_STRENGTH * mean))


def main() -> None:
    """Search, fit, cross-fit, and write the numbers if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--n", type=int, default=120)
    parser.add_argument("--proposals", type=int, default=20)
    parser.add_argument("--judge", default="sevennet")
    parser.add_argument("--textbook", type=Path, default=None, help="work folder of ground_states.py")
    parser.add_argument("--contexts", nargs="+", default=get_args(Context), help="whose numbers are written")
    parser.add_argument("--done-only", action="store_true", help="fit on the searches that are in the folder already")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    rows = [r for r in read_split(args.data / "mp_20" / "val.parquet", skip=True) if r.exact]
    order = np.random.default_rng(0).permutation(len(rows))[: args.n]
    targets = [(rows[i].id, rows[i].crystal) for i in order]
    if args.done_only:
        targets = [t for i, t in enumerate(targets) if (args.work / f"{i % 2}-{t[0]}.parquet").exists()]
    pools = searched(targets, args.work, args.proposals, args.judge)
    n_listed = len(pools)
    pools += textbook(args.textbook) if args.textbook is not None else []
    names = load_search_models(judge=args.judge).names
    numbers = grid(args.judge)
    table = table_of(pools, numbers, names)
    contexts = np.array([p[0] for p in pools])
    fold = np.arange(len(pools)) % FOLDS
    fitted: dict[str, Any] = {}
    report: dict[str, Any] = {}
    for context in get_args(Context):
        mine = np.flatnonzero(contexts == context)
        if not len(mine):
            continue
        found = np.isfinite(table[mine]).all(axis=1)
        best = numbers[fit(table, mine[found], np.flatnonzero(np.isfinite(table).all(axis=1)))]
        right = []
        for k in range(FOLDS):
            known = np.isfinite(table).all(axis=1) & (fold != k)
            chosen = numbers[fit(table, np.flatnonzero(known & (contexts == context)), np.flatnonzero(known))]
            right += [first_is_right(pools[i], rule_of(chosen, names)) for i in mine if fold[i] == k]
        listed = found[mine < n_listed]
        coverage = float(listed.mean()) if len(listed) else shipped_calibration().contexts[context].coverage
        fitted[context] = {"temperature": best.temperature, "prior_weight": best.prior_weight,
                           "coverage": round(coverage, 3)}  # fmt: skip
        report[context] = {"n": len(mine), "found": int(found.sum()), "first_right_cross_fitted": int(sum(right)),
                           "dao": best.temperature["dao"], args.judge: best.temperature[args.judge],
                           "prior_weight": best.prior_weight}  # fmt: skip
    if args.write:
        path = Path(screening.__file__).parent / "data" / "calibration.json"
        old = json.loads(path.read_text())
        old["contexts"] |= {k: v for k, v in fitted.items() if k in args.contexts}
        old["source"] = (
            f"benchmarks/fit_posterior.py, {n_listed} compositions of MP-20 validation and {len(pools) - n_listed} "
            f"textbook formulas; fitted: {', '.join(k for k in fitted if k in args.contexts)}. Before: {old['source']}"
        )
        path.write_text(json.dumps(old, indent=1) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
