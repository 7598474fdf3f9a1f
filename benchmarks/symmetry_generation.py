"""DAO-G's symmetry model measured: labels, degrees of freedom with the true label, and both together, on MP-20.

python benchmarks/symmetry_generation.py --part structures --train runs/symmetry/train.parquet
Parts: `labels` (validation: is the true label among the first 1, 5, 20?), `fill` (validation: with the true label, is
the structure matched by the first or any of 8 proposals?), `structures` (test: label x fill without a library, match
rate at k = 1, 5, 20, unfiltered and filtered, and for targets whose label the training structures lack), `calibrate`
(validation: writes into a checkpoint how often a proposal of some probability is right). `--train` is the description
table of train_symmetry.py; it tells which labels were seen. --record appends the rows. Other sets and METRe:
joint_order.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bars import machine, record_bar
from scipy.optimize import minimize

from dao_core.artifacts import write_atomic
from dao_core.crystal import Crystal
from dao_core.evaluate.scorecard import Scorecard, compare_all, score_table
from dao_core.evaluate.statistics import wilson
from dao_core.generate.symmetry.checkpoint import SymmetryModel, load_symmetry
from dao_core.generate.symmetry.description import CollapsedSitesError, from_values, n_free_coordinates, to_crystal
from dao_core.generate.symmetry.fill_search import search_fills
from dao_core.generate.symmetry.generator import SymmetryGenerator, closest_ratio
from dao_core.generate.symmetry.label_search import LabelSearchSettings, search_labels
from dao_core.generate.symmetry.labels import Label, SymmetryLabelError, label_of, ordered_elements, standard_cell
from dao_core.matching.fingerprint import equivalent_labellings
from dao_core.matching.pairs import ONE_PROCESS
from dao_core.models.checkpoint_io import resolve
from dao_core.studies.benchmark_data import read_targets
from dao_core.studies.csp_benchmark import Target
from dao_core.training.symmetry_data import load_descriptions

KS = (1, 5, 20)
MANY = 7  # free coordinates from which on the degrees of freedom are hard


def chosen(data: Path, split: str, n: int, seed: int) -> list[Target]:
    """Random targets of a split of MP-20."""
    targets = read_targets(data, "mp-20", split)[0]
    order = np.random.default_rng(seed).permutation(len(targets))[:n]
    return [targets[i] for i in order]


def label_or_none(crystal: Crystal) -> Label | None:
    try:
        return label_of(standard_cell(crystal))
    except SymmetryLabelError:
        return None


def share(hits: Sequence[bool]) -> dict[str, Any]:
    """Percent with its 95 % interval."""
    if not hits:
        return {"value": None, "interval": None, "n": 0}
    low, high = wilson(n_hit=sum(hits), n=len(hits))
    value = round(100 * float(np.mean(hits)), 1)
    return {"value": value, "interval": [round(100 * low, 1), round(100 * high, 1)], "n": len(hits)}


def anonymous(label: Label) -> tuple[int, tuple[str, ...]]:
    """A label without its elements: the smallest equivalent list of letter groups."""
    choices = (
        tuple(sorted("".join(sorted(r[x] for x in group)) for group in label.letters))
        for r in equivalent_labellings()[label.spacegroup_number]
    )
    return label.spacegroup_number, min(choices)


def labels_part(model: SymmetryModel, targets: Sequence[Target]) -> dict[str, Any]:
    """Is the true label among the first 1, 5, 20?"""
    truths = [label_or_none(t.crystal) for t in targets]
    keys = []
    for target in targets:
        elements = ordered_elements(target.crystal.atomic_numbers)
        keys.append((elements, tuple(int((target.crystal.atomic_numbers == z).sum()) for z in elements)))
    found = [row for k in range(0, len(keys), 50) for row in search_labels(model.labels, keys[k : k + 50], SETTINGS)]
    ranks = [
        next((i for i, s in enumerate(row) if s.label == truth), len(row) + KS[-1])
        for row, truth in zip(found, truths, strict=True)
    ]
    return {str(k): share([r < k for r in ranks]) for k in KS}


SETTINGS = LabelSearchSettings(width=40, n=KS[-1])


def fill_part(model: SymmetryModel, targets: Sequence[Target]) -> dict[str, Any]:
    """With the true label: matched by the first proposal, by any of 8; the same with many free coordinates."""
    pairs = [(t, label) for t in targets if (label := label_or_none(t.crystal)) is not None]
    fills = search_fills(model.fills, [label for _, label in pairs], width=8)
    predicted = [
        _overlapping_last([_made(label, f.values, model) for f in row], model)
        for (_, label), row in zip(pairs, fills, strict=True)
    ]
    many = [i for i, (_, label) in enumerate(pairs) if n_free_coordinates(label) >= MANY]
    card, hard = cards(predicted, [t.crystal for t, _ in pairs], [range(len(pairs)), many], (1, 3, 8))
    return {"all": rates(card), "seven or more": rates(hard), "n_many": len(many), "rmse": card.unfiltered[0].rmse}


def _made(label: Label, values: Sequence[float], model: SymmetryModel) -> Crystal | None:
    try:
        return to_crystal(from_values(label, values, model.facts.volumes))
    except CollapsedSitesError:
        return None


def _overlapping_last(crystals: list[Crystal | None], model: SymmetryModel) -> list[Crystal | None]:
    def overlaps(crystal: Crystal | None) -> bool:
        return crystal is None or closest_ratio(crystal, model.facts.volumes) < model.facts.closest

    return sorted(crystals, key=overlaps)  # stable: likeliest first otherwise


def cards(
    predicted: list[list[Crystal | None]], reference: list[Crystal], parts: Sequence[Sequence[int]], ks: Sequence[int]
) -> list[Scorecard]:
    """The scorecard of each part of the targets, every pair compared once."""
    table = compare_all(predicted=predicted, reference=reference, effort=ONE_PROCESS)
    return [
        score_table(
            table=[table[i] for i in rows], predicted=[predicted[i] for i in rows],
            reference=[reference[i] for i in rows], ks=ks,
        )[0]
        for rows in parts
    ]  # fmt: skip


def rates(card: Scorecard, *, filtered: bool = False) -> dict[str, Any]:
    """Match rate at each k with its interval."""
    columns = card.filtered if filtered else card.unfiltered
    return {
        str(a.k): {"value": round(a.match_rate, 1), "interval": [round(x, 1) for x in a.match_interval], "n": card.n}
        for a in columns
    }


def structures_part(model: SymmetryModel, targets: Sequence[Target], train: Path) -> dict[str, Any]:
    """Label x fill without a library."""
    generator = SymmetryGenerator(model, SETTINGS)
    start = time.process_time()
    found = [
        p for k in range(0, len(targets), 25)
        for p in generator.propose_many([t.crystal.composition for t in targets[k : k + 25]], KS[-1])
    ]  # fmt: skip
    spent = time.process_time() - start
    predicted: list[list[Crystal | None]] = [[p.crystal for p in proposals.items] for proposals in found]
    seen = {anonymous(d.label) for d in load_descriptions(train)[1]}
    truths = [label_or_none(t.crystal) for t in targets]
    unseen = [i for i, truth in enumerate(truths) if truth is not None and anonymous(truth) not in seen]
    exact = [i for i, t in enumerate(targets) if t.exact]
    card, hard, part = cards(predicted, [t.crystal for t in targets], [range(len(targets)), unseen, exact], KS)
    refused: dict[str, int] = {}
    for proposals in found:
        for reason, n in proposals.refused.items():
            refused[reason] = refused.get(reason, 0) + n
    return {
        "unfiltered": rates(card), "filtered": rates(card, filtered=True), "label unseen": rates(hard),
        "exact rows": rates(part), "rmse": {a.k: a.rmse for a in card.unfiltered}, "misses": card.misses,
        "n_failed": card.n_failed, "without proposals": sum(not row for row in predicted), "refused": refused,
        "cpu_seconds_per_formula": round(spent / len(targets), 3),
        "cpu_seconds_per_proposal": round(spent / max(1, sum(map(len, predicted))), 4), "smact": version("smact"),
    }  # fmt: skip


def calibrate(directory: Path, model: SymmetryModel, targets: Sequence[Target]) -> dict[str, Any]:
    """Fit how often a proposal is right by its log probability, and write it into the checkpoint."""
    generator = SymmetryGenerator(model, SETTINGS)
    found = [
        p for k in range(0, len(targets), 25)
        for p in generator.propose_many([t.crystal.composition for t in targets[k : k + 25]], 8)
    ]  # fmt: skip
    table = compare_all(
        predicted=[[p.crystal for p in row.items] for row in found],
        reference=[t.crystal for t in targets], effort=ONE_PROCESS,
    )  # fmt: skip
    x = np.array([p.log_probability for row in found for p in row.items])
    hit = np.zeros(len(x))
    begin = 0
    for row in table:  # the first match of a target counts: later ones are mostly the same structure
        matches = [i for i, c in enumerate(row) if c.rms is not None]
        hit[[begin + i for i in matches[:1]]] = 1.0
        begin += len(row)

    def loss(parameters: np.ndarray) -> float:
        score = parameters[0] * x + parameters[1]
        return float((np.logaddexp(0.0, score) - hit * score).mean())

    slope, offset = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x.tolist()
    path = directory / "config.json"
    config = json.loads(path.read_text())
    config["calibration"] = {"slope": round(slope, 4), "offset": round(offset, 4)}
    write_atomic(path, json.dumps(config, indent=1))
    return {**config["calibration"], "n_proposals": len(x), "loss": loss(np.array([slope, offset]))}


BAR_ROWS: dict[str, list[tuple[int, str, Any]]] = {
    "labels": [(20, "symmetry label among 1 / 5 / 20, MP-20 validation, %", [69, 86, 92])],
    "fill": [
        (21, "fill with the true label, first / any of 8; seven or more free coordinates, %", [88, 93, 68, 76])
    ],
    "structures": [
        (22, "label x fill without a library, MP-20 test, k = 1 / 5 / 20; k = 1 filtered, %", [72, 85, 90, 66]),
        (23, "label x fill where training lacks the target's label, k = 20, %", 42),
        (27, "CPU seconds a proposal, label x fill (flow with 50 steps: 1)", 0.1),
    ],
    "calibrate": [],
}  # fmt: skip


def bar_values(part: str, row: int, result: dict[str, Any]) -> tuple[Any, Any, int]:
    """(value, interval, n) of a row."""
    if part == "labels":
        cells = [result[str(k)] for k in KS]
    elif part == "fill":
        cells = [result["all"]["1"], result["all"]["8"], result["seven or more"]["1"], result["seven or more"]["8"]]
    elif row == 22:
        cells = [*(result["unfiltered"][str(k)] for k in KS), result["filtered"]["1"]]
    elif row == 23:
        cells = [result["label unseen"]["20"]]
    else:
        return result["cpu_seconds_per_proposal"], "one run", result["unfiltered"]["1"]["n"]
    values, intervals = [c["value"] for c in cells], [c["interval"] for c in cells]
    return (values, intervals, cells[0]["n"]) if len(cells) > 1 else (values[0], intervals[0], cells[0]["n"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="symmetry", help="checkpoint folder, or the name of a shipped one")
    parser.add_argument("--train", type=Path, help="description table of the training structures (part structures)")
    parser.add_argument("--part", choices=tuple(BAR_ROWS), required=True)
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_symmetry(args.model)
    split = "test_public" if args.part == "structures" else "val"
    targets = chosen(args.data, split, args.n, args.seed)
    if args.part == "labels":
        result = labels_part(model, targets)
    elif args.part == "fill":
        result = fill_part(model, targets)
    elif args.part == "calibrate":
        result = calibrate(resolve(args.model), model, targets)
    else:
        result = structures_part(model, targets, args.train)
    command = f"python benchmarks/symmetry_generation.py --part {args.part} --n {args.n} --seed {args.seed}"
    for row, what, bar in BAR_ROWS[args.part] if args.record else []:
        value, interval, n = bar_values(args.part, row, result)
        pairs = zip(value, bar, strict=True) if isinstance(bar, list) else [(value, bar)]
        met = all(v <= b for v, b in pairs) if row == 27 else all(v is not None and v >= b for v, b in pairs)
        record_bar(
            issue="generator", row=row, what=what, value=value, bar=bar, met=met, n=n, interval=interval,
            details=result, models=model.identity, command=command, seed=args.seed,
        )  # fmt: skip
    print(json.dumps({"figure": result, "n": len(targets), "seed": args.seed, "machine": machine()}))


if __name__ == "__main__":
    main()
