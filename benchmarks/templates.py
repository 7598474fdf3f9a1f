"""Template baseline on a public test split: match rate and RMSE at k = 1, 5, 20, from the training split alone.

python benchmarks/templates.py --data ../shared/data --set mp_20 --out /tmp/templates
Writes the predicted structures (Parquet, rank order) and the scorecard below --out and one line per figure row to
benchmarks/results/bars.jsonl. Nothing here is tuned on the test split: the ranker was trained by leave-one-out on the
training split.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bars import record_bar

from dao_core.artifacts import write_atomic
from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.evaluate.scorecard import Scorecard, compare_all, score_table
from dao_core.generate.templates.index import TemplateHit, TemplateIndex
from dao_core.generate.templates.store import load_index, save_index
from dao_core.matching.pairs import MatchEffort
from dao_core.matching.rms import Comparison

BARS = {1: 74.0, 5: 88.0, 20: 93.0}  # issue "generator", row 1: MP-20, unfiltered


@dataclass(frozen=True)
class Row:
    """One structure of a split; `exact` is False where the data card marks a stand-in for the published row."""

    id: str
    crystal: Crystal
    exact: bool


def read_split(path: Path, *, skip: bool = False) -> list[Row]:
    """All rows of a split; with `skip` without those that are no valid crystal."""
    table = pq.read_table(path)
    names = ["material_id", "lattice", "atomic_numbers", "frac_coords"]
    marks = table["exact"].to_pylist() if "exact" in table.column_names else [True] * len(table)
    rows = []
    for row, exact in zip(table.select(names).to_pylist(), marks, strict=True):
        lattice = np.array(row["lattice"]).reshape(3, 3)
        try:
            crystal = Crystal(lattice, np.array(row["frac_coords"]).reshape(-1, 3), np.array(row["atomic_numbers"]))
        except InvalidCrystalError:
            if skip:
                continue
            raise
        rows.append(Row(str(row["material_id"]), crystal, bool(exact)))
    return rows


def training_rows(data: Path, name: str, database: bool) -> list[Row]:
    """The training split; MPTS-52 has none here, so all Materials Project structures outside its val and test.

    With `database` also the rest of the Materials Project, without any composition of val or test: stricter than the
    leak-free view, which keeps polymorphs.
    """
    held = [r for part in ("val", "test_public") for r in read_split(data / name / f"{part}.parquet")]
    ids = {r.id for r in held}
    if name == "mpts_52":
        rows = read_split(data / "mp_structures.parquet", skip=True)
        return [r for r in rows if r.id not in ids and r.crystal.n_atoms <= 52]
    rows = read_split(data / name / "train.parquet")
    if database:
        formulas = {r.crystal.formula_reduced for r in held}
        ids |= {r.id for r in rows}
        more = read_split(data / "mp_structures.parquet", skip=True)
        rows += [r for r in more if r.id not in ids and r.crystal.formula_reduced not in formulas]
    return rows


def load_or_build(data: Path, name: str, out: Path, database: bool = False) -> tuple[TemplateIndex, float]:
    """The saved index of an earlier run, or a new one, and the CPU seconds that building took (0 if loaded)."""
    folder = out / f"index_{name}{'_database' if database else ''}"
    if (folder / "index.json").exists():
        return load_index(folder), 0.0
    rows = training_rows(data, name, database)
    start = time.process_time()
    source = f"{name} training split{' and database' if database else ''}, {len(rows)} rows"
    index = TemplateIndex.build(((r.id, r.crystal) for r in rows), source=source)
    seconds = time.process_time() - start
    save_index(index, folder)
    return index, seconds


def write_hits(path: Path, ids: list[str], hits: list[list[TemplateHit]]) -> None:
    """Predictions in rank order: target_id, rank, template_id, score, atomic_numbers, lattice, frac_coords."""
    rows = [(i, k, h) for i, found in zip(ids, hits, strict=True) for k, h in enumerate(found)]
    columns = {
        "target_id": [i for i, _, _ in rows],
        "rank": [k for _, k, _ in rows],
        "template_id": [h.template_id for _, _, h in rows],
        "score": [h.score for _, _, h in rows],
        "atomic_numbers": [h.crystal.atomic_numbers.tolist() for _, _, h in rows],
        "lattice": [h.crystal.lattice.ravel().tolist() for _, _, h in rows],
        "frac_coords": [h.crystal.frac_coords.ravel().tolist() for _, _, h in rows],
    }
    pq.write_table(pa.table(columns), path)


def compare_in_shards(
    folder: Path, predicted: list[list[Crystal]], reference: list[Crystal], processes: int
) -> list[list[Comparison]]:
    """`compare_all` in shards of 200 targets that are kept below `folder`, so that a cut run goes on where it was."""
    folder.mkdir(parents=True, exist_ok=True)
    table: list[list[Comparison]] = []
    for start in range(0, len(reference), 200):
        part = slice(start, start + 200)
        path = folder / f"{start:05d}.json"
        if not path.exists():
            found = compare_all(predicted=predicted[part], reference=reference[part], effort=MatchEffort(processes))
            write_atomic(path, json.dumps([[[c.rms, c.max_distance, c.reason] for c in row] for row in found]))
        table += [[Comparison(*c) for c in row] for row in json.loads(path.read_text())]
    return table


def record(card: Scorecard, name: str, rows: str, command: str) -> dict[str, object]:
    """One line of bars.jsonl."""
    rates = [round(a.match_rate, 2) for a in card.unfiltered]
    bars = list(BARS.values()) if name == "mp_20 test_public" and rows == "all" else None
    half = [round((a.match_interval[1] - a.match_interval[0]) / 2, 2) for a in card.unfiltered]
    return {
        "issue": "generator",
        "row": 1 if bars else 0,
        "what": f"templates alone, {name}, rows {rows}, unfiltered match rate k = 1 / 5 / 20 (%)",
        "value": rates,
        "bar": bars,
        "met": bool(bars) and all(v >= b for v, b in zip(rates, bars or [], strict=False)),
        "n": card.n,
        "n_failed": card.n_failed,
        "interval": f"Wilson 95 %: +- {half}",
        "filtered": [round(a.match_rate, 2) for a in card.filtered],
        "rmse": [None if a.rmse is None else round(a.rmse, 4) for a in card.unfiltered],
        "crmse": [round(a.crmse, 4) for a in card.unfiltered],
        "same_spacegroup_k1": round(card.same_spacegroup, 2),
        "misses": card.misses,
        "command": command,
        "seed": 0,
        "machine": f"{platform.machine()}, busy",
    }


def main() -> None:
    """Build or load the index, query every target, score, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--set", default="mp_20", choices=["mp_20", "mpts_52", "perov_5"])
    parser.add_argument("--split", default="test_public")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--database", action="store_true", help="index also the Materials Project without the test's")
    parser.add_argument("--limit", type=int, default=None, help="only this many targets, at random (seed 0)")
    args = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    args.out.mkdir(parents=True, exist_ok=True)
    index, build_s = load_or_build(args.data, args.set, args.out, args.database)
    targets = read_split(args.data / args.set / f"{args.split}.parquet")
    if args.limit:
        chosen = np.random.default_rng(0).permutation(len(targets))[: args.limit]
        targets = [targets[i] for i in chosen]
    crystals = [t.crystal for t in targets]
    label = f"{args.set}{'_database' if args.database else ''}_{args.split}"
    hits, seconds = [], []
    for crystal in crystals:
        start = time.process_time()
        hits.append(index.query(crystal.composition, 20))
        seconds.append(time.process_time() - start)
    write_hits(
        args.out / f"hits_{label}.parquet",
        [t.id for t in targets],
        hits,
    )
    predicted = [[h.crystal for h in found] for found in hits]
    table = compare_in_shards(
        args.out / f"matches_{label}_{len(targets)}",
        predicted,
        crystals,
        args.processes,
    )
    command = f"python benchmarks/templates.py --set {args.set} --split {args.split}"
    command += " --database" if args.database else ""
    command += f" --limit {args.limit}" if args.limit else ""
    lines = []
    for rows in ("all", "exact"):
        keep = [i for i, t in enumerate(targets) if rows == "all" or t.exact]
        if rows == "exact" and len(keep) == len(targets):
            continue
        card = score_table(
            table=[table[i] for i in keep],
            predicted=[predicted[i] for i in keep],
            reference=[crystals[i] for i in keep],
        )[0]
        name = f"{args.set} {args.split}{', index with the database' if args.database else ''}"
        line = record(card, name, rows, command)
        line |= {"build_s": round(build_s, 1), "index_size": len(index), "query_ms": float(np.median(seconds) * 1e3)}
        lines.append(line)
    if args.split == "test_public":
        for line in lines:
            record_bar(**line)
    print("\n".join(json.dumps(line) for line in reversed(lines)))


if __name__ == "__main__":
    main()
