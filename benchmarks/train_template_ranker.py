"""Train the order of template candidates by leave-one-out retrieval on a training split.

python benchmarks/train_template_ranker.py --data ../shared/data --out runs/ranker --queries 14000
Each query is a training structure's composition with its own entry left out; a candidate is right if it matches that
structure. Validation structures choose the seed; the test split is never read. Writes template_ranker.json and
element_statistics.npz into dao_core/generate/templates/data. Labels are kept in shards of 500 queries: the same
command goes on.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from templates import Row, load_or_build, read_split

import dao_core.generate.templates.ranker as ranker_module
from dao_core.generate.templates.index import TemplateIndex
from dao_core.generate.templates.ranker import FEATURES, Ranker, candidate_features
from dao_core.generate.templates.search import nearer_than, select_distinct
from dao_core.matching.alignment import Cell, Tolerances, best_mapping
from dao_core.matching.fingerprint import SAME_DISTANCE, fingerprint, slots_of
from dao_core.matching.rms import reduce_crystal

KEPT = 48  # candidates a query
TOO_FAR = 0.25  # fingerprint distance beyond which nothing matches
SHARD = 500
LOG_SHARE = FEATURES.index("log_share")


@dataclass
class Queries:
    """Padded candidates: features (Q, K, F), right and known (Q, K), distances (Q, K, K); `asked` queries in all."""

    features: np.ndarray
    right: np.ndarray
    known: np.ndarray
    distances: np.ndarray
    asked: int

    @classmethod
    def load(cls, paths: list[Path]) -> Queries:
        shards = [dict(np.load(p)) for p in paths]
        names = ("features", "right", "known", "distances")
        return cls(*(np.concatenate([s[n] for s in shards]) for n in names), sum(int(s["asked"]) for s in shards))


def label(index: TemplateIndex, rows: list[Row], *, leave_out: bool) -> dict[str, np.ndarray]:
    """The arrays of `Queries` for some structures."""
    features, right, known, distances = [], [], [], []
    for row in rows:
        found = index.candidates(row.crystal.composition, (row.id,) if leave_out else ())
        if found is None:
            continue
        elements, candidates = found
        x = candidate_features(candidates, elements, index.spacegroups, index.atomic_volumes)
        chosen, _ = select_distinct(x[:, LOG_SHARE], KEPT, nearer_than(candidates.distances, 0.04))
        truth = fingerprint(row.crystal, slots_of(row.crystal.atomic_numbers))
        away = np.sqrt(((candidates.prints[chosen] - truth) ** 2).mean(axis=(1, 2, 3)))
        reduced, n = reduce_crystal(row.crystal), len(chosen)
        y, between = np.zeros(KEPT, bool), np.full((KEPT, KEPT), 9.0, np.float16)
        for j in np.flatnonzero(away <= TOO_FAR):
            y[j] = _matches(index, candidates, int(chosen[j]), reduced)
        between[:n, :n] = candidates.distances[np.ix_(chosen, chosen)]
        features.append(np.concatenate([x[chosen], np.zeros((KEPT - n, len(FEATURES)))]).astype(np.float32))
        right.append(y)
        known.append(np.arange(KEPT) < n)
        distances.append(between)
    stacked = {"features": features, "right": right, "known": known, "distances": distances}
    return {k: np.stack(v) for k, v in stacked.items()} | {"asked": np.array(len(rows))}


def _matches(index: TemplateIndex, candidates: object, i: int, target: Cell) -> bool:
    """Whether the substituted template matches at the benchmark's tolerances; volumes don't count."""
    template = reduce_crystal(index.crystals[int(candidates.bucket.members[candidates.rows[i]])])  # type: ignore[attr-defined]
    exchange = np.zeros(101, int)
    exchange[candidates.old[i]] = candidates.new[i]  # type: ignore[attr-defined]
    changed = Cell(template.matrix, template.frac, exchange[template.numbers])
    return not isinstance(best_mapping(changed, target, Tolerances(), 0.2), str)


def prepare(index: TemplateIndex, rows: list[Row], folder: Path, name: str, *, leave_out: bool) -> Queries:
    paths = []
    for start in range(0, len(rows), SHARD):
        path = folder / f"{name}_{start:06d}.npz"
        if not path.exists():
            np.savez(path.with_suffix(".part.npz"), **label(index, rows[start : start + SHARD], leave_out=leave_out))
            path.with_suffix(".part.npz").rename(path)
            print(path.name, flush=True)
        paths.append(path)
    return Queries.load(paths)


def hit_rates(scores: np.ndarray, queries: Queries) -> list[float]:
    """Share of all asked queries with a right candidate among the first 1, 5 and 20 distinct ones, %."""
    hits = np.zeros(3)
    for s, y, known, between in zip(scores, queries.right, queries.known, queries.distances, strict=True):
        n = int(known.sum())
        order, _ = select_distinct(s[:n], 20, nearer_than(between[:n, :n].astype(float), SAME_DISTANCE))
        hits += [y[order[:k]].any() for k in (1, 5, 20)]
    return [round(float(h), 2) for h in hits / queries.asked * 100]


def train(queries: Queries, hidden: int, epochs: int, seed: int, trained_on: str) -> Ranker:
    """Maximise the softmax share of the right candidates of each query that has any."""
    torch.manual_seed(seed)
    flat = queries.features[queries.known]
    mean, scale = flat.mean(0).astype(np.float64), flat.std(0).astype(np.float64) + 1e-6
    x = torch.tensor(np.clip((queries.features - mean) / scale, -8, 8), dtype=torch.float32)
    prior, known = torch.tensor(queries.features[..., LOG_SHARE]), torch.tensor(queries.known)
    right = torch.tensor(queries.right)
    useful = torch.nonzero(right.any(1))[:, 0]
    layers = [torch.nn.Linear(len(FEATURES), hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 1)]
    for parameter in layers[-1].parameters():
        torch.nn.init.zeros_(parameter)  # starts as the untrained order
    network = torch.nn.Sequential(*layers)
    batch, rate = 64, 1e-2
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * (len(useful) // batch))
    for _ in range(epochs):
        for rows in useful[torch.randperm(len(useful))].split(batch):
            if len(rows) < batch:
                continue
            score = (network(x[rows])[..., 0] + prior[rows]).masked_fill(~known[rows], -1e4)
            share = torch.log_softmax(score, 1).masked_fill(~right[rows], -1e4)
            loss = -torch.logsumexp(share, 1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    linear = [m for m in network if isinstance(m, torch.nn.Linear)]
    weights = tuple((m.weight.detach().numpy().T.astype(float), m.bias.detach().numpy().astype(float)) for m in linear)
    return Ranker(mean, scale, weights, trained_on)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=14000)
    parser.add_argument("--validation", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    index, _ = load_or_build(args.data, "mp_20", args.out)
    rng = np.random.default_rng(0)
    known = [Row(i, c, True) for i, c in zip(index.ids, index.crystals, strict=True)]
    rows = [known[i] for i in rng.permutation(len(known))[: args.queries]]
    held = read_split(args.data / "mp_20" / "val.parquet")
    held = [held[i] for i in rng.permutation(len(held))[: args.validation]]
    queries = prepare(index, rows, args.out, "train", leave_out=True)
    validation = prepare(index, held, args.out, "validation", leave_out=False)
    before = hit_rates(validation.features[..., LOG_SHARE], validation)
    tried = []
    for seed in range(args.seeds):
        ranker = train(queries, 24, 12, seed, f"MP-20 training split, {queries.asked} leave-one-out queries")
        scores = np.stack([ranker.score(x.astype(np.float64)) for x in validation.features])
        tried.append((hit_rates(scores, validation), ranker))
        print(seed, tried[-1][0], flush=True)
    rates, best = max(tried, key=lambda t: sum(t[0]))
    shipped = Path(ranker_module.__file__).parent / "data"
    (shipped / "template_ranker.json").write_text(best.to_json() + "\n")
    volumes, log_odds = index.atomic_volumes.astype(np.float32), index.log_odds.astype(np.float32)
    np.savez(shipped / "element_statistics.npz", atomic_volumes=volumes, log_odds=log_odds)
    figure = {"validation_before": before, "validation_after": rates, "any_of_kept": round(
        float(validation.right.any(1).sum() / validation.asked * 100), 2)}  # fmt: skip
    print(json.dumps({"figure": figure, "n": validation.asked, "seed": 0, "machine": platform.machine()}))


if __name__ == "__main__":
    main()
