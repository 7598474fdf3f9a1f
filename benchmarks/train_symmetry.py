"""Train DAO-G's symmetry model: label networks and fill networks, each for a given CPU time of one core.

python benchmarks/train_symmetry.py --out runs/symmetry --label-seconds 1500 --fill-seconds 2400
Stages run one after the other or alone (--stage); stopped, the same command goes on. `--set mp-20` learns from MP-20's
training split alone, the column of the benchmarks; `--set all` also from other Materials Project structures and from
the experimental ones of --extra (the library's sources/oqmd-icsd.parquet), without any composition of the public MP-20
and MPTS-52 validation and test splits. The label network is told which kind a structure is; the fill network ends with
--tune-seconds on the small structures near the hull alone, which are what it is asked for (none with `--set mp-20`).
`--start-from` a checkpoint or another run's folder; stages left out then take its networks as they are. `--join` packs
the networks of other checkpoints in front: what they predict is averaged.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import nn
from train_predictor import formula_key, held_formulas

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.generate.symmetry.checkpoint import ElementFacts, SymmetryModel, load_symmetry, save_symmetry
from dao_core.generate.symmetry.description import Description, degrees_of_freedom, to_crystal
from dao_core.generate.symmetry.fill_network import FillNetwork
from dao_core.generate.symmetry.generator import closest_ratio
from dao_core.generate.symmetry.label_network import LabelNetwork
from dao_core.generate.symmetry.label_tokens import Source
from dao_core.generate.symmetry.transformer import SymmetryNetworkConfig
from dao_core.models.checkpoint_io import read_checkpoint
from dao_core.training.fit_symmetry import LabelExamples
from dao_core.training.fit_symmetry_fill import FillExamples
from dao_core.training.symmetry_data import atomic_volumes, describe_all, load_descriptions, save_descriptions
from dao_core.training.symmetry_loop import STATE, SymmetryTrainingConfig, train

STAGES = ("describe", "label", "fill", "tune", "pack")
MOST_ATOMS = {"mp-20": 20, "all": 40}
CLOSEST_SHARE = 0.01  # structures that come closer than the limit of overlapping atoms
LONGEST = 64  # tokens of a structure that the fill network learns from; longer ones cost the time of many
NEAR_HULL = 0.08  # eV/atom, MP-20's own limit
BLOCK = 2000  # structures described between two notes of progress
NetworkT = TypeVar("NetworkT", LabelNetwork, FillNetwork)
TrainingRow = tuple[str, Crystal, Source]  # id, structure, kind
LABEL = SymmetryNetworkConfig(n_blocks=4, dropout=0.1)
FILL = SymmetryNetworkConfig(n_blocks=5, dropout=0.08)


def rows_of(path: Path) -> Iterator[tuple[str, Crystal, float | None]]:
    """(id, structure, energy above the hull) of a table; rows that are no crystal are skipped."""
    columns = ["material_id", "lattice", "frac_coords", "atomic_numbers", "e_above_hull"]
    for batch in pq.ParquetFile(path).iter_batches(BLOCK, columns=columns):
        for row in batch.to_pylist():
            try:
                crystal = Crystal(
                    np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3)), row["atomic_numbers"]
                )
            except InvalidCrystalError:
                continue
            yield str(row["material_id"]), crystal, row["e_above_hull"]


def training_rows(data: Path, name: str, extra: Path | None) -> Iterator[TrainingRow]:
    """What may be learned from."""
    seen = set()
    for material_id, crystal, _ in rows_of(data / "mp_20/train.parquet"):
        seen.add(material_id)
        yield material_id, crystal, Source.NEAR_HULL
    if name == "mp-20":
        return
    held = held_formulas(data)
    for path in (data / "mp_structures.parquet", *([extra] if extra else [])):
        for material_id, crystal, e_above_hull in rows_of(path):
            if material_id in seen or crystal.n_atoms > MOST_ATOMS[name]:
                continue
            if formula_key(crystal.atomic_numbers) not in held:
                seen.add(material_id)
                yield material_id, crystal, Source.EXPERIMENT if path == extra else source_of(crystal, e_above_hull)


def source_of(crystal: Crystal, e_above_hull: float | None) -> Source:
    """Of a Materials Project structure: MP-20 has most of the small ones near the hull, of the large ones none."""
    if e_above_hull is None or np.isnan(e_above_hull):
        near = crystal.n_atoms > MOST_ATOMS["mp-20"]
    else:
        near = e_above_hull <= NEAR_HULL
    return Source.NEAR_HULL if near else Source.MATERIALS_PROJECT


def describe(rows: Iterator[TrainingRow], path: Path) -> None:
    """Write the descriptions of all structures that have one."""
    if path.exists():
        return
    ids, kept, sources, n_failed = [], [], [], 0
    block: list[TrainingRow] = []

    def flush() -> None:
        nonlocal n_failed
        descriptions, _, failed, _ = describe_all(c for _, c, _ in block)
        n_failed += failed
        for (name, _, source), description in zip(block, descriptions, strict=True):
            if description is not None:
                ids.append(name)
                kept.append(description)
                sources.append(source)
        print(f"{path.name}: {len(kept)} described, {n_failed} not", flush=True)
        block.clear()

    for row in rows:
        block.append(row)
        if len(block) == BLOCK:
            flush()
    flush()
    save_descriptions(path, ids, kept, sources)


def element_facts(descriptions: list[Description]) -> ElementFacts:
    """Volumes, elements and the smallest usual distance."""
    volumes = atomic_volumes(descriptions)
    chosen = np.random.default_rng(0).permutation(len(descriptions))[:1000]
    ratios = [closest_ratio(to_crystal(descriptions[i]), volumes) for i in chosen]
    seen = frozenset(z for d in descriptions for z in d.label.elements)
    return ElementFacts(volumes, seen, float(np.quantile(ratios, CLOSEST_SHARE)))


def n_atoms(description: Description) -> int:
    """Atoms of the primitive cell."""
    return sum(description.label.counts)


def names_of(network: nn.Module) -> tuple[str, ...]:
    """Folders of a network's training, in the order of its stages."""
    return ("label",) if isinstance(network, LabelNetwork) else ("fill", "tune")


def trained(network: NetworkT, run: Path) -> NetworkT | None:
    """A network with the averaged weights that it has in a run's folder, tuned if it was; None where it has none."""
    for name in reversed(names_of(network)):
        if (run / name / STATE).exists():
            network.load_state_dict(torch.load(run / name / STATE, weights_only=True)["average"])
            return network
    return None


def started(network: NetworkT, start: str | None) -> NetworkT:
    """A network with the weights of another run or checkpoint, as it is without one."""
    if start is None:
        return network
    found = trained(network, Path(start))
    if found is None:
        model = load_symmetry(start)
        members = model.labels if isinstance(network, LabelNetwork) else model.fills
        network.load_state_dict(members[0].state_dict())
    return network


class Trainer:
    """The stages of one run, on the descriptions of its folder."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        (_, self.descriptions, self.sources) = load_descriptions(args.out / "train.parquet")
        self.held = load_descriptions(args.out / "validation.parquet")[1]
        self.facts: dict[str, Any] = {}
        self.label = LABEL.model_copy(update={"dropout": args.label_dropout})

    def config(
        self, network: SymmetryNetworkConfig, seconds: float, rate: float, **more: Any
    ) -> SymmetryTrainingConfig:
        return SymmetryTrainingConfig(
            network=network, cpu_seconds=seconds, learning_rate=rate, seed=self.args.seed, **more
        )

    def train_labels(self) -> None:
        config = self.config(self.label, self.args.label_seconds, 1e-3, substitution=self.args.label_substitution)
        torch.manual_seed(self.args.seed)
        labels, held = [d.label for d in self.descriptions], [d.label for d in self.held]
        examples = LabelExamples(labels, self.sources, held, config)
        network = started(LabelNetwork(self.label), self.args.start_from)
        self.facts["label"] = train(network, examples, config, self.args.out / "label")

    def train_fills(self) -> None:
        short = [d for d in self.descriptions if len(d.label.orbits) + len(degrees_of_freedom(d.label)) < LONGEST]
        self._fills(started(FillNetwork(FILL), self.args.start_from), short, self.args.fill_seconds, "fill")

    def tune_fills(self) -> None:
        network = trained(FillNetwork(FILL), self.args.out) or started(FillNetwork(FILL), self.args.start_from)
        small = [
            d
            for d, s in zip(self.descriptions, self.sources, strict=True)
            if s == Source.NEAR_HULL and n_atoms(d) <= MOST_ATOMS["mp-20"]
        ]
        self._fills(network, small, self.args.tune_seconds, "tune")

    def _fills(self, network: FillNetwork, rows: Sequence[Description], seconds: float, name: str) -> None:
        more = {"substitution": self.args.substitution, "equivalent": self.args.equivalent}
        config = self.config(FILL, seconds, 1.5e-3, **more)
        torch.manual_seed(self.args.seed)
        examples = FillExamples(rows, self.held, atomic_volumes(self.descriptions), config)
        self.facts[name] = train(network, examples, config, self.args.out / name)

    def pack(self) -> None:
        """One checkpoint of the networks joined and this run's own."""
        joined = [load_symmetry(name) for name in self.args.join]
        labels, fills = [n for m in joined for n in m.labels], [n for m in joined for n in m.fills]
        for network, members in ((LabelNetwork(self.label), labels), (FillNetwork(FILL), fills)):
            own = trained(network, self.args.out)
            if own is None and self.args.start_from is None:
                raise SystemExit(f"{self.args.out} has no trained {names_of(network)[0]} network: run its stage first")
            members.append(own or started(network, self.args.start_from))
            for name in names_of(network):
                if (self.args.out / name / STATE).exists():
                    state = torch.load(self.args.out / name / STATE, weights_only=True)
                    self.facts[name] = {k: round(state[k], 1) for k in ("spent", "steps", "epoch")}
        about = {"set": self.args.set, "rows": len(self.descriptions), "seed": self.args.seed, **self.facts}
        if self.args.start_from is not None:
            about["start_from"] = Path(self.args.start_from).name
        if joined:
            configs = [read_checkpoint(name)[1] for name in self.args.join]
            about["joined"] = {m.identity: c["training"] for m, c in zip(joined, configs, strict=True)}
        facts = joined[0].facts if joined else element_facts(self.descriptions)
        model = SymmetryModel(tuple(labels), tuple(fills), facts)
        save_symmetry(self.args.out / "checkpoint", model, about, self.args.card.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", choices=tuple(MOST_ATOMS), default="mp-20")
    parser.add_argument("--extra", type=Path, help="further structures, a Parquet file")
    parser.add_argument("--stage", choices=STAGES, action="append", help="only this one (repeatable)")
    parser.add_argument("--label-seconds", type=float, default=1500.0)
    parser.add_argument("--label-dropout", type=float, default=LABEL.dropout)
    parser.add_argument("--label-substitution", type=float, default=0.1, help="share of replaced elements (labels)")
    parser.add_argument("--fill-seconds", type=float, default=2400.0)
    parser.add_argument("--tune-seconds", type=float, default=400.0, help="of the fill network")
    parser.add_argument("--start-from", help="folder of another run, or a checkpoint: its weights are the start")
    parser.add_argument("--join", action="append", default=[], help="a checkpoint whose networks are packed as well")
    parser.add_argument("--equivalent", type=float, default=0.5, help="share of equivalent descriptions (fill)")
    parser.add_argument("--substitution", type=float, default=0.08, help="share of replaced elements (fill)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--card", type=Path, default=Path(__file__).parent / "cards" / "symmetry.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    stages = args.stage or [s for s in STAGES if args.set != "mp-20" or s != "tune"]
    if "describe" in stages:
        describe(training_rows(args.data, args.set, args.extra), args.out / "train.parquet")
        validation = rows_of(args.data / "mp_20/val.parquet")
        described = ((name, crystal, Source.NEAR_HULL) for name, crystal, _ in validation)
        describe(described, args.out / "validation.parquet")
    trainer = Trainer(args)
    actions = {"label": trainer.train_labels, "fill": trainer.train_fills,
               "tune": trainer.tune_fills, "pack": trainer.pack}  # fmt: skip
    for stage in STAGES[1:]:
        if stage in stages:
            actions[stage]()
    rows = len(trainer.descriptions)
    print(json.dumps({"figure": trainer.facts, "n": rows, "seed": args.seed, "machine": platform.machine()}))


if __name__ == "__main__":
    main()
