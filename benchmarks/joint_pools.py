"""What templates and the symmetry model each propose for the cells of a split, and which of it is right.

python benchmarks/joint_pools.py --split val --index without=DIR --index prototypes=aflow --out DIR --n 600
The pools that `fit_joint_prior.py` fits on and `joint_order.py` measures on. `--index NAME=FOLDER` names a saved
template index; `aflow` are the prototypes that ship with the program. For each target every index gives its 20 best
templates, the symmetry model its 20 likeliest structures; each is compared with the target at the benchmark
tolerances. `--library DIR` adds a library as users have it: what it knows of the composition in a cell of this size
(`known`, by its prior) and the templates of its other structures (`library`). Shards of 25 targets; killed or stopped,
the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from templates import Row, read_split

from dao_core.crystal import Crystal
from dao_core.generate.symmetry.generator import SymmetryGenerator, SymmetryProposal
from dao_core.generate.symmetry.labels import Label
from dao_core.generate.templates.aflow import aflow_index
from dao_core.generate.templates.index import TemplateHit, TemplateIndex
from dao_core.generate.templates.ranker import FEATURES as TEMPLATE_FEATURES
from dao_core.generate.templates.store import load_index
from dao_core.library.folder import Library, open_library
from dao_core.library.known import known_structures
from dao_core.library.prior import known_log_priors
from dao_core.matching.pairs import match_pairs

SHARD, DEPTH = 25, 20
SYMMETRY, KNOWN, LIBRARY = "symmetry", "known", "library"


@dataclass(frozen=True, eq=False)
class Pool:
    """What was suggested for one target: templates of each index, and symmetry's structures.

    `rms` holds that to the target by `id` of a crystal, None where it does not match.
    """

    target: str
    formula: str
    known: list[Crystal]
    hits: dict[str, list[TemplateHit]]
    proposals: list[SymmetryProposal]
    rms: dict[int, float | None]

    def right(self, crystal: Crystal) -> bool:
        """Whether a suggested structure matches the target."""
        return self.rms[id(crystal)] is not None


def load_pools(folder: Path) -> list[Pool]:
    """All pools of the finished shards in a folder, in order."""
    pools: dict[str, Pool] = {}
    for path in sorted(folder.glob("shard-*.parquet")):
        for row in pq.read_table(path).to_pylist():
            lattice, places = np.array(row["lattice"]).reshape(3, 3), np.array(row["frac_coords"]).reshape(-1, 3)
            crystal = Crystal(lattice, places, np.array(row["atomic_numbers"]))
            pool = pools.setdefault(row["target"], Pool(row["target"], crystal.formula_reduced, [], {}, [], {}))
            pool.rms[id(crystal)] = row["rms"]
            if row["origin"] == SYMMETRY:
                number, elements, letters = json.loads(row["label"])
                label = Label(number, tuple(elements), tuple(letters))
                found = SymmetryProposal(crystal, label, row["score"], row["log_label"], row["log_prior"])
                pool.proposals.append(found)
            elif row["origin"] == KNOWN:
                pool.known.append(crystal)
            else:
                features = dict(zip(TEMPLATE_FEATURES, row["features"], strict=True))
                hit = TemplateHit(crystal, row["id"], row["score"], row["log_prior"], features)
                pool.hits.setdefault(row["origin"], []).append(hit)
    return list(pools.values())


def template_rows(name: str, index: TemplateIndex, target: Row, without: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The templates of one index for a target's cell, but for some entries."""
    hits = index.query(target.crystal.composition, DEPTH, without)
    return [
        {"target": target.id, "origin": name, "rank": i, "id": h.template_id, "score": h.score,
         "log_prior": h.log_prior, "crystal": h.crystal, "label": None, "log_label": None,
         "features": list(h.features.values())}
        for i, h in enumerate(hits)
    ]  # fmt: skip


def library_rows(library: Library, index: TemplateIndex, target: Row) -> list[dict[str, Any]]:
    """What a library knows of a target's composition in a cell of its size, and templates of its other structures."""
    known = known_structures(library, target.crystal.formula_reduced)
    priors = known_log_priors(known)
    order = sorted(range(len(known)), key=lambda i: -priors[i])
    own = [(known[i], priors[i]) for i in order if known[i].crystal.n_atoms == target.crystal.n_atoms][:DEPTH]
    rows = [
        {"target": target.id, "origin": KNOWN, "rank": i, "id": k.material_id, "score": prior, "log_prior": prior,
         "crystal": k.crystal, "label": None, "log_label": None, "features": []}
        for i, (k, prior) in enumerate(own)
    ]  # fmt: skip
    return rows + template_rows(LIBRARY, index, target, [k.material_id for k in known])


def symmetry_rows(generator: SymmetryGenerator, targets: list[Row]) -> list[dict[str, Any]]:
    """The symmetry model's structures for the targets' cells."""
    made = generator.propose_many([t.crystal.composition for t in targets], DEPTH)
    return [
        {"target": t.id, "origin": SYMMETRY, "rank": i, "id": str(i), "score": p.log_probability,
         "log_prior": p.log_prior, "crystal": p.crystal, "label": p.label, "features": [],
         "log_label": p.log_label}
        for t, proposals in zip(targets, made, strict=True)
        for i, p in enumerate(proposals.items)
    ]  # fmt: skip


def with_rms(rows: list[dict[str, Any]], targets: list[Row]) -> pa.Table:
    """All candidates of some targets with their rms to the target, None where they don't match."""
    reference = {t.id: t.crystal for t in targets}
    order = sorted(range(len(rows)), key=lambda i: rows[i]["target"])
    found = match_pairs(
        predicted=[rows[i]["crystal"] for i in order], reference=[reference[rows[i]["target"]] for i in order]
    )[0]
    for i, comparison in zip(order, found, strict=True):
        crystal, label = rows[i].pop("crystal"), rows[i]["label"]
        rows[i] |= {
            "rms": comparison.rms, "lattice": crystal.lattice.ravel().tolist(),
            "frac_coords": crystal.frac_coords.ravel().tolist(), "atomic_numbers": crystal.atomic_numbers.tolist(),
            "label": None if label is None else json.dumps([label.spacegroup_number, label.elements, label.letters]),
        }  # fmt: skip
    return pa.Table.from_pylist(rows)


def main() -> None:
    """Every shard that is not in the folder yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--split", choices=["val", "test_public"], required=True)
    parser.add_argument("--index", action="append", required=True, help="NAME=FOLDER or NAME=aflow")
    parser.add_argument("--library", type=Path, default=None, help="a library as it is")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=600)
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("moyo").setLevel(logging.ERROR)
    rows = read_split(args.data / "mp_20" / f"{args.split}.parquet", skip=args.split == "val")
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[: args.n]]
    library = None if args.library is None else open_library(args.library)
    named = dict(item.split("=", 1) for item in args.index)
    indices = {name: aflow_index() if where == "aflow" else load_index(where) for name, where in named.items()}
    whole = None if library is None else library.templates()
    generator = SymmetryGenerator.load()
    args.out.mkdir(parents=True, exist_ok=True)
    for begin in range(0, len(rows), SHARD):
        part = rows[begin : begin + SHARD]
        path = args.out / f"shard-{begin:05d}-{len(part)}.parquet"
        if not path.exists():
            started = time.process_time()
            found = [r for t in part for name, index in indices.items() for r in template_rows(name, index, t)]
            if library is not None and whole is not None:
                found += [r for t in part for r in library_rows(library, whole, t)]
            pq.write_table(with_rms(found + symmetry_rows(generator, part), part), path.with_suffix(".tmp"))
            path.with_suffix(".tmp").rename(path)
            print(f"{begin + len(part)}/{len(rows)}, {time.process_time() - started:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
