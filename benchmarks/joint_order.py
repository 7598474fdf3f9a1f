"""Templates, symmetry, flow and all three in one order on a benchmark's test split, from the pools of joint_pools.py.

python benchmarks/joint_order.py --set mp-20 --pools DIR [--weights train=FILE] [--record]
Columns: `templates` of a library, `symmetry` (label x fill, no library), `flow` (samples from noise, on the targets
that have them), `joint`: templates and symmetry in one order, samples where the order leaves them a place. Match rate
at k = 1, 5, 20, unfiltered and filtered by validity; `joint` is paired with the other columns (bootstrap interval).
Nothing is relaxed in these. Where the pools have DAO-P's relaxations, `symmetry + DAO-P` and `joint + DAO-P` are what a
search has before its judge: relaxed structures in the order of log prior - energy / temperature, what DAO-P did not
relax behind them; `joint + DAO-P + judge` has the judge's word on the first of these too (joint_judge.py).
Libraries: `train`, the training split; `strict`, the same without any composition of validation and test; `without` and
`library`, a user's library without the test's compositions and as it is, what it knows first.
--set polymorphs: METRe and cRMSE, as many predictions for a composition as it has structures; `--single DIR` are pools
of --set mp-20, whose targets of a composition of their own give the figure over the whole split.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from bars import show_bar
from joint_columns import COLUMNS, DEPTH, JUDGED, NEEDED, RANKED, RELAXED, Measured, places_for_samples
from joint_pools import ENERGY, FLOW, JUDGE, LIBRARY, SYMMETRY, Pool, load_pools

from dao_core.crystal import Crystal
from dao_core.evaluate.polymorphs import polymorph_figures
from dao_core.evaluate.scorecard import Scorecard, metre_rms, score_table
from dao_core.evaluate.statistics import bootstrap_mean
from dao_core.evaluate.validity import validity
from dao_core.matching.rms import BENCHMARK
from dao_core.screening.joint import JointWeights, shipped_weights
from dao_core.studies.benchmark_data import BENCHMARK_TARGETS, POLYMORPHS, read_targets
from dao_core.studies.csp_benchmark import Target

KS = (1, 5, DEPTH)
TRAINED = (  # what the symmetry model that ships learned from
    "103,518 structures: MP-20 train, other Materials Project and OQMD-ICSD structures without the compositions of the "
    "public validation and test splits"
)
ENOUGH = 500  # targets of a match rate that may say that it reaches its bar
NAMES = {
    "mp-20": "MP-20",
    "mpts-52": "MPTS-52 (but for compositions of MP-20 train, which the weights know)",
    "perov-5": "Perov-5",
    "carbon-24": "Carbon-24 without duplicates within the test",
    POLYMORPHS: "MP-20's compositions of several structures",
}
BARS: dict[tuple[str, str], tuple[str, int, dict[int, float]]] = {  # of column joint
    ("mp-20", "without"): ("first-answer", 3, {1: 66, 5: 78, 20: 86}),
    ("mp-20", LIBRARY): ("first-answer", 3, {1: 72, 5: 83, 20: 89}),
    ("mp-20", "train"): ("generator", 24, {1: 78, 5: 90, 20: 95}),
    ("mpts-52", "train"): ("generator", 25, {1: 44, 20: 62}),
    (POLYMORPHS, "train"): ("generator", 26, {1: 79}),
}
UNSEEN = "composition outside MP-20 train"


def score(measured: Measured, predicted: list[list[Crystal]], ks: Sequence[int] = KS) -> Scorecard:
    """The scorecard from the comparisons that the pools hold."""
    table = [[p.comparisons[id(c)] for c in row] for p, row in zip(measured.pools, predicted, strict=True)]
    return score_table(table=table, predicted=predicted, reference=[t.crystal for t in measured.targets], ks=ks)[0]


def difference(pools: Sequence[Pool], one: list[list[Crystal]], other: list[list[Crystal]], k: int) -> dict[str, Any]:
    """Points by which the first finds more among k, with a paired 95 % interval."""
    found = [
        np.array([any(p.right(c) for c in row[:k]) for p, row in zip(pools, side, strict=True)], dtype=float)
        for side in (one, other)
    ]
    away = 100 * (found[0] - found[1])
    low, high = bootstrap_mean(values=away)
    return {"points": round(float(away.mean()), 1), "interval": [round(low, 1), round(high, 1)],
            "won": int((away > 0).sum()), "lost": int((away < 0).sum())}  # fmt: skip


def match_rates(measured: Measured, column: str, ks: Sequence[int]) -> list[float]:
    """Percent of the targets that are among the first k, for each k."""
    ranks = [
        next((i for i, c in enumerate(row) if p.right(c)), DEPTH)
        for p, row in zip(measured.pools, measured.orders(column), strict=True)
    ]
    return [round(100 * float(np.mean([r < k for r in ranks])), 1) for k in ks]


def bars_of(measured: Measured, column: str) -> tuple[str, int, dict[int, float]]:
    """Issue, row and wanted figures of a column; row 0 where none are named."""
    if (measured.name, column) == ("mp-20", SYMMETRY + RELAXED):
        return "generator", 22, {1: 72, 5: 85, 20: 90}
    issue, row, bars = BARS.get((measured.name, measured.index), ("generator", 0, {}))
    return (issue, row, bars) if column.startswith("joint") else (issue, 0, {})


def in_words(measured: Measured, column: str) -> str:
    """A column, what its templates come from, and whether anything is relaxed."""
    library = f", {measured.library}" if column == "templates" or column.startswith("joint") else ""
    return f"{column}{library}" + ("" if RELAXED in column else ", nothing relaxed")


def column_line(measured: Measured, column: str, subsets: dict[str, set[str]]) -> dict[str, Any]:
    """One column of a set, as a line of bars.jsonl."""
    ks = [k for k in KS if column != FLOW or k <= max((len(p.samples) for p in measured.pools), default=0)]
    issue, row, bars = bars_of(measured, column)
    predicted = measured.orders(column)
    card = score(measured, predicted, ks)
    shown = [a for a in card.unfiltered if not bars or a.k in bars]
    value = [round(a.match_rate, 1) for a in shown]
    inside = {
        name: {"n": len(part.pools), "value": match_rates(part, column, ks)}
        for name, ids in subsets.items()
        if (part := measured.part(lambda _, t, ids=ids: t.id in ids)).pools
    }
    return {
        "issue": issue, "row": row,
        "what": f"{NAMES[measured.name]} public test, column {in_words(measured, column)}, match rate at "
        f"k = {' / '.join(str(a.k) for a in shown)}, %",
        "value": value, "bar": list(bars.values()) or "no number given",
        "met": card.n >= ENOUGH and all(a.match_rate >= bars[a.k] for a in shown) if bars else None,
        "n": card.n, "n_failed": card.n_failed,
        "interval": [[round(x, 1) for x in a.match_interval] for a in shown],
        "unfiltered": {str(a.k): round(a.match_rate, 1) for a in card.unfiltered},
        "filtered": {str(a.k): round(a.match_rate, 1) for a in card.filtered}, "smact": version("smact"),
        "rmse": {str(a.k): None if a.rmse is None else round(a.rmse, 4) for a in card.unfiltered},
        "misses": card.misses, "subsets": inside,
        **({"why": f"{card.n} targets measured, {ENOUGH} wanted"} if bars and card.n < ENOUGH else {}),
    }  # fmt: skip


def joint_facts(measured: Measured) -> dict[str, Any]:
    """The joint order against each column on the same targets, and what part the flow has in it."""
    joint = measured.orders("joint")
    against = {
        column: {str(k): difference(measured.pools, joint, measured.orders(column), k) for k in KS}
        for column in ("templates", SYMMETRY)
    }
    places = [places_for_samples(p, measured.index, measured.weights) for p in measured.pools]
    drawn = measured.part(lambda p, _: FLOW in p.parts)
    flow: dict[str, Any] = {
        "share of targets with a place for samples among 1 / 5 / 20":
        [round(100 * float(np.mean([n > DEPTH - k for n in places])), 1) for k in KS],
        "n with samples": len(drawn.pools),
    }  # fmt: skip
    if drawn.pools:
        pair = drawn.orders("joint"), drawn.orders("joint without flow")
        flow["against joint without flow"] = {str(k): difference(drawn.pools, *pair, k) for k in KS}
    return {"against": against, "flow": flow}


def metre_line(measured: Measured, column: str, single: Measured, split: Sequence[Target]) -> dict[str, Any]:
    """METRe and cRMSE of one column where compositions have several structures, and over the whole split."""
    rms, valid = composition_rms(measured, column)
    figures, _, n_failed, _ = polymorph_figures(best_rms=grouped(measured.targets, rms))
    filtered = polymorph_figures(best_rms=grouped(measured.targets, np.where(valid, rms, np.nan)))[0]
    issue, row, bars = bars_of(measured, column)
    line: dict[str, Any] = {
        "issue": issue, "row": row,
        "what": f"METRe on {NAMES[measured.name]} of the public test, column {in_words(measured, column)}, as many "
        "predictions as structures, %",
        "value": round(figures["metre"], 1), "bar": bars.get(1, "no number given"),
        "met": figures["metre"] >= bars[1] if bars else None, "n": len(rms), "n_failed": n_failed,
        "interval": [round(x, 1) for x in figures["metre_interval"]], "crmse": round(figures["crmse"], 4),
        "compositions": figures["n_compositions"], "all_found": figures["all_found"],
        "filtered": round(filtered["metre"], 1), "smact": version("smact"),
    }  # fmt: skip
    if single.pools:
        line["whole split"] = whole_split(rms, single, column, split)
    return line


def grouped(targets: Sequence[Target], rms: np.ndarray) -> dict[str, np.ndarray]:
    """Values of the targets by composition."""
    formulas = [t.crystal.formula_reduced for t in targets]
    return {f: rms[[i for i, g in enumerate(formulas) if g == f]] for f in dict.fromkeys(formulas)}


def composition_rms(measured: Measured, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Smallest rms of each reference over its composition's predictions; whether reference and prediction are valid.

    The second target of a cell gets the second prediction for it, and so on.
    """
    seen: Counter[tuple[tuple[str, int], ...]] = Counter()
    predicted: list[list[Crystal]] = []
    for target, row in zip(measured.targets, measured.orders(column), strict=True):
        cell = tuple(sorted(target.crystal.composition.items()))
        predicted.append(row[seen[cell] : seen[cell] + 1])
        seen[cell] += 1
    reference = [t.crystal for t in measured.targets]
    kept = [[c for c in row if validity(crystals=[c])[0][0]] for row in predicted]
    passed = metre_rms(predicted=kept, reference=reference)
    return metre_rms(predicted=predicted, reference=reference), np.isfinite(passed) & validity(crystals=reference)[0]


def whole_split(rms: np.ndarray, single: Measured, column: str, split: Sequence[Target]) -> dict[str, Any]:
    """METRe over the split: measured where compositions have several structures, estimated on targets of the others.

    For a composition of one structure METRe is the match rate of one prediction.
    """
    counts = Counter(t.formula for t in split)
    part = single.part(lambda _, t: counts[t.formula] == 1)
    firsts = [
        p.comparisons[id(row[0])].rms if row else None
        for p, row in zip(part.pools, part.orders(column), strict=True)
    ]  # fmt: skip
    ones = np.array([np.nan if r is None else r for r in firsts], dtype=float)
    share = sum(counts[t.formula] > 1 for t in split) / len(split)
    values = [
        share * several.mean() + (1 - share) * alone.mean()
        for several, alone in (
            (np.isfinite(rms), np.isfinite(ones)),
            (np.nan_to_num(rms, nan=BENCHMARK.sites), np.nan_to_num(ones, nan=BENCHMARK.sites)),
        )
    ]
    spread = [np.isfinite(x).std() / np.sqrt(len(x)) for x in (rms, ones)]
    half = 196 * float(np.hypot(share * spread[0], (1 - share) * spread[1]))
    metre = 100 * float(values[0])
    return {"metre": round(metre, 1), "interval": [round(metre - half, 1), round(metre + half, 1)],
            "crmse": round(float(values[1]), 4), "n_several": len(rms), "n_single": len(ones),
            "n_split": len(split)}  # fmt: skip


def subsets_of(data: Path, targets: Sequence[Target]) -> dict[str, set[str]]:
    """Ids of the targets that training can't have seen, each only where it is a part of all."""
    rows = read_targets(data, "mp-20", "train")[0]
    ids, formulas = {t.id for t in rows}, {t.formula for t in rows}
    found = {
        "rows of the published files": {t.id for t in targets if t.exact},
        "id outside MP-20 train": {t.id for t in targets if t.id not in ids},
        UNSEEN: {t.id for t in targets if t.formula not in formulas},
    }
    return {what: part for what, part in found.items() if 0 < len(part) < len(targets)}


def lines(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every column of every library that the pools have; symmetry and flow, which have none, once."""
    files = dict(item.split("=", 1) for item in args.weights)
    pools, models = load_pools(args.pools)
    single = load_pools(args.single)[0] if args.single else []
    split = read_targets(args.data, "mp-20" if args.set == POLYMORPHS else args.set, "test_public")[0]
    targets = {t.id: t for t in split}
    subsets = {} if args.set == POLYMORPHS else subsets_of(args.data, [targets[p.target] for p in pools])
    if args.set == "mpts-52":
        pools = [p for p in pools if p.target in subsets[UNSEEN]]
    columns = [c for c in COLUMNS if NEEDED[c] <= models.keys()]
    for index in [n for n in models if n not in (SYMMETRY, FLOW, ENERGY, JUDGE)]:
        weights = JointWeights.from_json(Path(files[index]).read_text()) if index in files else shipped_weights()
        other = f" --weights {index}=FILE" if index in files else ""
        facts = {
            "weights": "fitted on validation with this library" if index in files else "those that ship",
            "symmetry": f"{models.get(SYMMETRY)}, trained on {args.trained}", "flow_model": models.get(FLOW), "seed": 0,
            "relaxed": models.get(ENERGY),
            "command": f"python benchmarks/joint_order.py --set {args.set} --pools DIR{other} --record",
        }  # fmt: skip
        for column in columns:
            needed = {index} | NEEDED[column]
            own = [p for p in pools if needed <= p.parts]
            if not own:
                continue
            measured = Measured(args.set, index, own, [targets[p.target] for p in own], weights)
            if args.set == POLYMORPHS:
                ones = [p for p in single if needed <= p.parts]
                alone = Measured("mp-20", index, ones, [targets[p.target] for p in ones], weights)
                yield metre_line(measured, column, alone, split) | facts
            else:
                more = joint_facts(measured) if column == "joint" else {}
                if column in RANKED:
                    plain, ours = measured.orders(column.removesuffix(RELAXED)), measured.orders(column)
                    more = {"against the same unrelaxed": {str(k): difference(own, ours, plain, k) for k in KS}}
                if column.endswith(JUDGED):
                    before, ours = measured.orders("joint" + RELAXED), measured.orders(column)
                    more = {"against DAO-P alone": {str(k): difference(own, ours, before, k) for k in KS}}
                yield column_line(measured, column, subsets) | facts | more
        columns = [c for c in columns if c not in (SYMMETRY, FLOW, SYMMETRY + RELAXED)]


def main() -> None:
    """Print, and record if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--set", choices=BENCHMARK_TARGETS, default="mp-20")
    parser.add_argument("--pools", type=Path, required=True)
    parser.add_argument("--single", type=Path, default=None, help="pools of mp-20, for METRe over the whole split")
    parser.add_argument("--weights", action="append", default=[], help="LIBRARY=FILE: other weights for a library")
    parser.add_argument("--trained", default=TRAINED, help="what the symmetry weights were trained on, in words")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    for line in lines(args):
        show_bar(line, record=args.record)


if __name__ == "__main__":
    main()
