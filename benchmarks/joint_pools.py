"""What templates, the symmetry model and the flow each propose for the cells of a set, and which of it is right.

python benchmarks/joint_pools.py --set mp-20 --index train=DIR --symmetry --flow 5 --flow-n 100 --out DIR --n 500
The pools that `fit_joint_prior.py` fits on (`--split val`) and `joint_order.py` measures on. For each target every
index gives its 20 best templates, the symmetry model its 20 likeliest structures, the flow so many samples from noise;
each is compared with the target at the benchmark tolerances.
`--index NAME=FOLDER` names a saved template index; `aflow` as folder are the prototypes that ship. `train` is that of
the set's training split, built where the folder isn't there yet; `strict` the same and `without` another index, but no
entry of a composition of validation and test is used as a template (only the statistics of elements were counted with
them). `--library DIR` adds
a library as users have it: what it knows of the composition in a cell of this size (`known`, by its prior) and the
templates of its other structures (`library`). `--energies N` relaxes the first N of each of these parts with DAO-P.
Every part has its own folder below --out, in shards of 25 targets that name what proposed: killed or stopped, the same
command goes on, and with other weights only their own part is made anew.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from dao_core.crystal import Crystal
from dao_core.energy.predictor import DaoPotential
from dao_core.generate.distinct_samples import SampleRequest, sample_distinct
from dao_core.generate.integrate import SamplerSettings
from dao_core.generate.sampler import Generator, Proposal
from dao_core.generate.symmetry.generator import SymmetryGenerator, SymmetryProposal, SymmetryProposals
from dao_core.generate.symmetry.label_search import LabelSearchSettings
from dao_core.generate.symmetry.labels import Label
from dao_core.generate.templates.aflow import aflow_index
from dao_core.generate.templates.index import TemplateHit, TemplateIndex
from dao_core.generate.templates.ranker import FEATURES as TEMPLATE_FEATURES
from dao_core.generate.templates.store import load_index, save_index
from dao_core.library.folder import Library, open_library
from dao_core.library.known import known_structures
from dao_core.library.prior import known_log_priors
from dao_core.matching.pairs import match_pairs
from dao_core.matching.rms import Comparison
from dao_core.matching.seen import SeenCrystals
from dao_core.screening.candidate import Candidate
from dao_core.screening.proposed import TEMPLATE, Proposed
from dao_core.screening.relaxing import START_SUFFIX, Relaxer, proposal_candidate
from dao_core.screening.settings import SearchSettings
from dao_core.studies.benchmark_data import (
    BENCHMARK_TARGETS,
    POLYMORPHS,
    benchmark_targets,
    read_targets,
    training_items,
)
from dao_core.studies.csp_benchmark import Target

SHARD, DEPTH = 25, 20
SYMMETRY, KNOWN, LIBRARY, FLOW, ENERGY, JUDGE = "symmetry", "known", "library", "flow", "energy", "judge"
FLOW_STEPS = 50
TRAIN, STRICT, WITHOUT = "train", "strict", "without"
Cell = tuple[tuple[str, int], ...]
Name = tuple[str, str]  # origin, number there
Made = dict[str, list[dict[str, Any]]]  # proposals of each target by its id
Propose = Callable[[Sequence[Target]], Made]


class Relaxed(NamedTuple):
    """A structure after DAO-P, its energy in eV/atom, and what its log prior lost on the way (after the judge: it)."""

    crystal: Crystal
    energy: float
    log_prior: float


@dataclass(frozen=True, eq=False)
class Pool:
    """What was suggested for one target: templates of each index, symmetry's structures, samples of the flow.

    `comparisons` holds that with the target by `id` of a crystal, `names` its origin and number there; `relaxed`
    what DAO-P made of it, `judged` what the judge made of the first of these; `parts` which parts were made, even where
    empty.
    """

    target: str
    formula: str
    known: list[Crystal] = field(default_factory=list)
    hits: dict[str, list[TemplateHit]] = field(default_factory=dict)
    proposals: list[SymmetryProposal] = field(default_factory=list)
    samples: list[Crystal] = field(default_factory=list)
    comparisons: dict[int, Comparison] = field(default_factory=dict)
    names: dict[int, Name] = field(default_factory=dict)
    relaxed: dict[Name, list[Relaxed]] = field(default_factory=dict)
    judged: list[Relaxed] = field(default_factory=list)
    parts: set[str] = field(default_factory=set)

    def right(self, crystal: Crystal) -> bool:
        """Whether a suggested structure matches the target."""
        return self.comparisons[id(crystal)].rms is not None

    def by_predictor(self, crystal: Crystal) -> list[Relaxed]:
        """What a search has of a suggested structure after DAO-P: the end, and the start too where they differ."""
        return self.relaxed.get(self.names[id(crystal)], [])

    def add(self, part: str, row: Mapping[str, Any]) -> None:
        """Take one row of a part's shard."""
        lattice, places = np.array(row["lattice"]).reshape(3, 3), np.array(row["frac_coords"]).reshape(-1, 3)
        crystal = Crystal(lattice, places, np.array(row["atomic_numbers"]))
        self.comparisons[id(crystal)] = Comparison(row["rms"], None, row["reason"])
        name = row["origin"], row["id"]
        if part in (ENERGY, JUDGE):
            made = self.judged if part == JUDGE else self.relaxed.setdefault(name, [])
            made.append(Relaxed(crystal, row["score"], row["log_prior"] or 0.0))
            return
        self.names[id(crystal)] = name
        if part == SYMMETRY:
            number, elements, letters = json.loads(row["label"])
            label = Label(number, tuple(elements), tuple(letters))
            found = SymmetryProposal(crystal, label, row["score"], row["log_label"], row["log_prior"])
            self.proposals.append(found)
        elif part == FLOW:
            self.samples.append(crystal)
        elif row["origin"] == KNOWN:
            self.known.append(crystal)
        else:
            features = dict(zip(TEMPLATE_FEATURES, row["features"], strict=True))
            hit = TemplateHit(crystal, row["id"], row["score"], row["log_prior"], features)
            self.hits.setdefault(row["origin"], []).append(hit)


def load_pools(folder: Path) -> tuple[list[Pool], dict[str, str]]:
    """All pools of the finished shards in a folder, in order, and what proposed each part."""
    pools: dict[str, Pool] = {}
    models: dict[str, str] = {}
    for path in sorted(folder.glob("*/shard-*.parquet")):
        table, part = pq.read_table(path), path.parent.name
        facts = _facts(table.schema)
        if models.setdefault(part, facts["model"]) != facts["model"]:
            raise ValueError(f"{path} is by {facts['model']}, others by {models[part]}: run joint_pools.py again")
        for target, formula in facts["targets"].items():
            pools.setdefault(target, Pool(target, formula)).parts.add(part)
        for row in table.to_pylist():
            pools[row["target"]].add(part, row)
    return list(pools.values()), models


def _facts(schema: pa.Schema) -> dict[str, Any]:
    return dict(json.loads((schema.metadata or {})[b"pool"]))


def template_rows(name: str, index: TemplateIndex, target: Target, without: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The templates of one index for a target's cell, but for some entries."""
    hits = index.query(target.crystal.composition, DEPTH, without)
    return [
        {"origin": name, "id": h.template_id, "score": h.score, "log_prior": h.log_prior, "crystal": h.crystal,
         "features": list(h.features.values())}
        for h in hits
    ]  # fmt: skip


def library_rows(library: Library, index: TemplateIndex, target: Target) -> list[dict[str, Any]]:
    """What a library knows of a target's composition in a cell of its size, and templates of its other structures."""
    known = known_structures(library, target.crystal.formula_reduced)
    priors = known_log_priors(known)
    order = sorted(range(len(known)), key=lambda i: -priors[i])
    own = [(known[i], priors[i]) for i in order if known[i].crystal.n_atoms == target.crystal.n_atoms][:DEPTH]
    rows = [
        {"origin": KNOWN, "id": k.material_id, "score": prior, "log_prior": prior, "crystal": k.crystal}
        for k, prior in own
    ]
    return rows + template_rows(LIBRARY, index, target, [k.material_id for k in known])


def symmetry_rows(generator: SymmetryGenerator, made: dict[Cell, SymmetryProposals], targets: Sequence[Target]) -> Made:
    """The symmetry model's structures for the targets' cells; `made` keeps those of each cell for other targets."""
    cells = {_cell(t): t.crystal.composition for t in targets if _cell(t) not in made}
    made |= zip(cells, generator.propose_many(list(cells.values()), DEPTH), strict=True)
    return {
        t.id: [
            {"origin": SYMMETRY, "id": str(i), "score": p.log_probability, "log_prior": p.log_prior,
             "crystal": p.crystal, "label": p.label, "log_label": p.log_label}
            for i, p in enumerate(made[_cell(t)].items)
        ]
        for t in targets
    }  # fmt: skip


def flow_rows(generator: Generator, n: int, drawn: dict[Cell, list[Proposal]], targets: Sequence[Target]) -> Made:
    """So many different samples from noise for each target's cell, what was drawn most often first."""
    known = [t for t in targets if set(t.crystal.atomic_numbers.tolist()) <= generator.elements]
    cells = {_cell(t): SampleRequest(t.crystal.composition, n) for t in known if _cell(t) not in drawn}
    drawn |= zip(cells, sample_distinct(generator, list(cells.values()), 0), strict=True)
    return {
        t.id: [
            {"origin": FLOW, "id": str(i), "score": p.share, "log_prior": None, "crystal": p.crystal}
            for i, p in enumerate(drawn[_cell(t)])
            if p.crystal is not None
        ]
        for t in known
    }


def _cell(target: Target) -> Cell:
    return tuple(sorted(target.crystal.composition.items()))


def compared(made: Made, targets: Sequence[Target], model: str) -> pa.Table:
    """One shard: the proposals of some targets, each with its comparison with the target."""
    rows = [row | {"target": t.id} for t in targets for row in made.get(t.id, [])]
    reference = {t.id: t.crystal for t in targets}
    found = match_pairs(
        predicted=[r["crystal"] for r in rows], reference=[reference[r["target"]] for r in rows]
    )[0]  # fmt: skip
    for row, comparison in zip(rows, found, strict=True):
        crystal, label = row.pop("crystal"), row.get("label")
        row |= {
            "rms": comparison.rms, "reason": comparison.reason, "lattice": crystal.lattice.ravel().tolist(),
            "frac_coords": crystal.frac_coords.ravel().tolist(), "atomic_numbers": crystal.atomic_numbers.tolist(),
            "label": None if label is None else json.dumps([label.spacegroup_number, label.elements, label.letters]),
        }  # fmt: skip
    facts = {"model": model, "targets": {t.id: t.crystal.formula_reduced for t in targets}}
    table = pa.Table.from_pylist([{name: row.get(name) for name in SCHEMA.names} for row in rows], SCHEMA)
    return table.replace_schema_metadata({"pool": json.dumps(facts)})


SCHEMA = pa.schema(
    [("target", pa.string()), ("origin", pa.string()), ("id", pa.string()), ("score", pa.float64()),
     ("log_prior", pa.float64()), ("log_label", pa.float64()), ("label", pa.string()), ("rms", pa.float64()),
     ("reason", pa.string()), ("features", pa.list_(pa.float64())), ("lattice", pa.list_(pa.float64())),
     ("frac_coords", pa.list_(pa.float64())), ("atomic_numbers", pa.list_(pa.int64()))]
)  # fmt: skip


def energy_rows(potential: DaoPotential, n: int, pools: Mapping[str, Pool], targets: Sequence[Target]) -> Made:
    """The first `n` structures of each origin as a search relaxes them; those that are the same crystal once."""
    starts: list[Crystal] = []
    wanted: list[tuple[str, Name, int]] = []  # target, name, number of its start
    for target in targets:
        pool = pools[target.id]
        firsts = [h.crystal for hits in pool.hits.values() for h in hits[:n]]
        firsts += pool.known[:n] + [p.crystal for p in pool.proposals[:n]]
        seen, before = SeenCrystals(), len(starts)
        for crystal in firsts:
            same = seen.find(crystal)
            if same is None:
                same = len(seen)
                seen.add(crystal)
                starts.append(crystal)
            wanted.append((target.id, pool.names[id(crystal)], before + same))
    ends: dict[int, list[Candidate]] = {}
    before_any = [proposal_candidate(Proposed(str(i), c, TEMPLATE, 0.0)) for i, c in enumerate(starts)]
    for candidate in Relaxer(potential, SearchSettings()).first(before_any):
        if candidate.usable:
            ends.setdefault(int(candidate.id.removesuffix(START_SUFFIX)), []).append(candidate)
    made: Made = {t.id: [] for t in targets}
    for target_id, (origin, name), i in wanted:
        made[target_id] += [
            {"origin": origin, "id": name, "score": c.energy_per_atom, "log_prior": c.log_prior, "crystal": c.crystal}
            for c in ends.get(i, [])
        ]
    return made


def make_part(folder: Path, targets: Sequence[Target], model: str, propose: Propose) -> None:
    """Every shard of a part that isn't there yet, or is there by another model."""
    folder.mkdir(parents=True, exist_ok=True)
    for begin in range(0, len(targets), SHARD):
        part = targets[begin : begin + SHARD]
        path = folder / f"shard-{begin:05d}.parquet"
        if path.exists():
            facts = _facts(pq.read_schema(path))
            if facts["model"] == model and len(facts["targets"]) >= len(part):
                continue
        started = time.process_time()
        made = propose(part)
        spent = time.process_time() - started
        pq.write_table(compared(made, part, model), path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)
        took = time.process_time() - started - spent
        done = f"{folder.name}: {begin + len(part)}/{len(targets)}"
        print(f"{done}, {spent:.0f} CPU s to propose, {took:.0f} to compare", flush=True)


def index_of(name: str, where: str, data: Path, of: str) -> TemplateIndex:
    """A saved index, the prototypes that ship, or the training split's, built and saved."""
    if where == "aflow":
        return aflow_index()
    folder = Path(where)
    if name not in (TRAIN, STRICT) or (folder / "index.json").exists():
        return load_index(folder)
    items = list(training_items(data, "mp-20" if of == POLYMORPHS else of))
    index = TemplateIndex.build(items, source=f"{of} training structures, {len(items)} rows")
    save_index(index, folder)
    return index


def held_entries(index: TemplateIndex, data: Path, of: str) -> list[str]:
    """Entries of an index whose composition is in the set's validation or test split."""
    name = "mp-20" if of == POLYMORPHS else of
    held = {t.crystal.formula_reduced for part in ("val", "test_public") for t in read_targets(data, name, part)[0]}
    return [i for i, crystal in zip(index.ids, index.crystals, strict=True) if crystal.formula_reduced in held]


def make_templates(args: argparse.Namespace, targets: Sequence[Target]) -> None:
    """The parts of the indexes and of the library."""
    for item in args.index:
        name, where = item.split("=", 1)
        index = index_of(name, where, args.data, args.set)
        left_out = held_entries(index, args.data, args.set) if name in (STRICT, WITHOUT) else []
        source = f"{index.source}; {len(left_out)} of compositions of validation and test not used"
        make_part(
            args.out / name, targets, source if left_out else index.source,
            partial(template_part, name, index, left_out, {}),
        )  # fmt: skip
    if args.library is not None:
        library = open_library(args.library)
        whole = library.templates()
        make_part(
            args.out / LIBRARY, targets, whole.source,
            lambda part: {t.id: library_rows(library, whole, t) for t in part},
        )  # fmt: skip


def template_part(
    name: str, index: TemplateIndex, left_out: Sequence[str], found: dict[Cell, list[dict[str, Any]]],
    targets: Sequence[Target],
) -> Made:  # fmt: skip
    """The templates of one index for some targets; `found` keeps those of each cell for other targets."""
    for target in targets:
        if _cell(target) not in found:
            found[_cell(target)] = template_rows(name, index, target, left_out)
    return {t.id: found[_cell(t)] for t in targets}


def main() -> None:
    """The parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--set", choices=BENCHMARK_TARGETS, default="mp-20")
    parser.add_argument("--split", choices=["val", "test_public"], default="test_public")
    parser.add_argument("--index", action="append", default=[], help="NAME=FOLDER or NAME=aflow")
    parser.add_argument("--library", type=Path, default=None, help="a library as it is")
    parser.add_argument("--symmetry", nargs="?", const=SYMMETRY, default=None, help="the model that ships, or a folder")
    parser.add_argument("--labels", type=int, default=DEPTH, help="labels that symmetry fills; METRe needs few")
    parser.add_argument("--flow", type=int, default=0, help="samples of each cell")
    parser.add_argument("--flow-n", type=int, default=100, help="first targets that get them")
    parser.add_argument("--energies", type=int, default=0, help="first structures of each part that DAO-P relaxes")
    parser.add_argument("--predictor", default="predictor", help="DAO-P: the model that ships, or a folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=500, help="random targets; 0: all")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("moyo").setLevel(logging.ERROR)
    targets = benchmark_targets(args.data, args.set, args.split, args.n)
    make_templates(args, targets)
    if args.symmetry:
        symmetry = SymmetryGenerator.load(args.symmetry, LabelSearchSettings(n=args.labels))
        make_part(args.out / SYMMETRY, targets, symmetry.identity, partial(symmetry_rows, symmetry, {}))
    if args.flow:
        flow = Generator.load("generator", SamplerSettings(steps=FLOW_STEPS))
        name = f"{flow.identity}, {FLOW_STEPS} steps, {args.flow} samples"
        make_part(args.out / FLOW, targets[: args.flow_n], name, partial(flow_rows, flow, args.flow, {}))
    if args.energies:
        made, models = load_pools(args.out)
        potential = DaoPotential.load(args.predictor)
        proposed = sorted(f"{part} by {model}" for part, model in models.items() if part not in (FLOW, ENERGY))
        name = f"{potential.identity}, first {args.energies} of {'; '.join(proposed)}"
        pools = {p.target: p for p in made}
        make_part(args.out / ENERGY, targets, name, partial(energy_rows, potential, args.energies, pools))
    print(json.dumps({"figure": {"folder": str(args.out)}, "n": len(targets)}))


if __name__ == "__main__":
    main()
