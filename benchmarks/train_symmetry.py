"""Train DAO-G's symmetry model: the label network and the fill network, each for a given CPU time of one core.

python benchmarks/train_symmetry.py --out runs/symmetry --label-seconds 1500 --fill-seconds 2400
Stages run one after the other or alone (--stage); stopped, the same command goes on. `--set mp-20` learns from MP-20's
training split alone, the column of the benchmarks; `--set all` also from other Materials Project structures and from
the experimental ones of --extra (the library's sources/oqmd-icsd.parquet), without any composition of the public MP-20
and MPTS-52 validation and test splits. The label network is told which kind a structure is; the fill network ends with
--tune-seconds on the small structures near the hull alone, which are what it is asked for (none with `--set mp-20`).
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow.parquet as pq
import torch
from train_predictor import formula_key, held_formulas

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.generate.symmetry.checkpoint import ElementFacts, SymmetryModel, save_symmetry
from dao_core.generate.symmetry.description import Description, degrees_of_freedom, to_crystal
from dao_core.generate.symmetry.fill_network import FillNetwork
from dao_core.generate.symmetry.generator import closest_ratio
from dao_core.generate.symmetry.label_network import LabelNetwork
from dao_core.generate.symmetry.label_tokens import Source
from dao_core.generate.symmetry.transformer import SymmetryNetworkConfig
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


def started(network: NetworkT, run: Path | None) -> NetworkT:
    """A network with the averaged weights of another run, as it is without one."""
    if run is not None:
        name = "label" if isinstance(network, LabelNetwork) else "fill"
        network.load_state_dict(torch.load(run / name / STATE, weights_only=True)["average"])
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", choices=tuple(MOST_ATOMS), default="mp-20")
    parser.add_argument("--extra", type=Path, help="further structures, a Parquet file")
    parser.add_argument("--stage", choices=STAGES, action="append", help="only this one (repeatable)")
    parser.add_argument("--label-seconds", type=float, default=1500.0)
    parser.add_argument("--fill-seconds", type=float, default=2400.0)
    parser.add_argument("--tune-seconds", type=float, default=400.0)
    parser.add_argument("--start-from", type=Path, help="folder of another run: its averaged weights are the start")
    parser.add_argument("--equivalent", type=float, default=0.5, help="share of equivalent descriptions (fill)")
    parser.add_argument("--substitution", type=float, default=0.08, help="share of replaced elements (fill)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--card", type=Path, default=Path(__file__).parent / "cards" / "symmetry.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    stages, facts = args.stage or STAGES, {}
    train_path, held_path = args.out / "train.parquet", args.out / "validation.parquet"
    if "describe" in stages:
        describe(training_rows(args.data, args.set, args.extra), train_path)
        validation = rows_of(args.data / "mp_20/val.parquet")
        describe(((name, crystal, Source.NEAR_HULL) for name, crystal, _ in validation), held_path)
    (_, descriptions, sources), held = load_descriptions(train_path), load_descriptions(held_path)[1]
    label_config = SymmetryTrainingConfig(network=LABEL, cpu_seconds=args.label_seconds, seed=args.seed)
    fill_config = SymmetryTrainingConfig(
        network=FILL, cpu_seconds=args.fill_seconds, seed=args.seed, learning_rate=1.5e-3,
        substitution=args.substitution, equivalent=args.equivalent,
    )  # fmt: skip
    if "label" in stages:
        torch.manual_seed(args.seed)
        labels = [d.label for d in descriptions]
        examples = LabelExamples(labels, sources, [d.label for d in held], label_config)
        facts["label"] = train(
            started(LabelNetwork(LABEL), args.start_from), examples, label_config, args.out / "label"
        )
        (args.out / "label" / "facts.json").write_text(json.dumps(facts["label"]))
    if "fill" in stages:
        torch.manual_seed(args.seed)
        short = [d for d in descriptions if len(d.label.orbits) + len(degrees_of_freedom(d.label)) < LONGEST]
        fills = FillExamples(short, held, atomic_volumes(descriptions), fill_config)
        facts["fill"] = train(started(FillNetwork(FILL), args.start_from), fills, fill_config, args.out / "fill")
        (args.out / "fill" / "facts.json").write_text(json.dumps(facts["fill"]))
    if "tune" in stages and args.set != "mp-20":
        small = [
            d
            for d, s in zip(descriptions, sources, strict=True)
            if s == Source.NEAR_HULL and n_atoms(d) <= MOST_ATOMS["mp-20"]
        ]
        config = fill_config.model_copy(update={"cpu_seconds": args.tune_seconds})
        torch.manual_seed(args.seed)
        fills = FillExamples(small, held, atomic_volumes(descriptions), config)
        facts["tune"] = train(started(FillNetwork(FILL), args.out), fills, config, args.out / "tune")
    if "pack" in stages:
        networks = LabelNetwork(LABEL), FillNetwork(FILL)
        tuned = (args.out / "tune" / STATE).exists()
        for network, name in zip(networks, ("label", "tune" if tuned else "fill"), strict=True):
            state = torch.load(args.out / name / STATE, weights_only=True)
            network.load_state_dict(state["average"])
            facts[name] = {k: round(state[k], 1) for k in ("spent", "steps", "epoch")}
        about = {"set": args.set, "rows": len(descriptions), "seed": args.seed, **facts}
        if args.start_from is not None:
            earlier = (torch.load(args.start_from / n / STATE, weights_only=True)["spent"] for n in ("label", "fill"))
            about["seconds_before"] = [round(s, 1) for s in earlier]
        card = args.card.read_text()
        model = SymmetryModel(*networks, element_facts(descriptions))
        save_symmetry(args.out / "checkpoint", model, about, card)
    print(json.dumps({"figure": facts, "n": len(descriptions), "seed": args.seed, "machine": platform.machine()}))


if __name__ == "__main__":
    main()
