"""Train DAO-G on the MP-20 training split: the run behind the shipped generator.

python benchmarks/train_mp20.py --data ../shared/data --out runs/mp20 --seconds 3600 [--seeds PAIRS_FOLDER]
Killed or stopped, the same command continues. `--seeds` adds retrieved template pairs (see generate/seeding.py).
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import yaml

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.training.card import Provenance
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_generator import GeneratorData, fit_generator
from dao_core.training.packed import PackedCrystals
from dao_core.training.seeds import load_pairs


def read_split(path: Path) -> tuple[list[str], list[Crystal]]:
    """Ids and Niggli cells of a split; rows that are no crystal are left out."""
    table = pq.read_table(path, columns=["material_id", "lattice", "frac_coords", "atomic_numbers"]).to_pydict()
    ids, crystals = [], []
    for row in zip(*table.values(), strict=True):
        try:
            crystal = Crystal(np.reshape(row[1], (3, 3)), np.reshape(row[2], (-1, 3)), np.array(row[3]))
        except InvalidCrystalError:
            continue
        ids.append(row[0])
        crystals.append(crystal)
    return ids, crystals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--split", default="mp_20/train.parquet")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path("configs/train-laptop.yaml"))
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start-from", type=Path)
    parser.add_argument("--seeds", type=Path)
    args = parser.parse_args()
    settings = yaml.safe_load(args.config.read_text())
    if args.seconds:
        settings["max_seconds"] = args.seconds
    config = TrainingConfig(**settings, seed=args.seed)
    cache = args.out / "packed.npz"
    args.out.mkdir(parents=True, exist_ok=True)
    if not cache.exists():
        ids, crystals = read_split(args.data / args.split)
        PackedCrystals.from_crystals([c.niggli() for c in crystals]).save(cache)
        (args.out / "ids.json").write_text(json.dumps(ids))
    structures = PackedCrystals.load(cache)
    data = GeneratorData(structures)
    if args.seeds:
        ids = json.loads((args.out / "ids.json").read_text())
        data = GeneratorData(structures, *load_pairs(args.seeds, ids))
    about = {"name": args.split, "rows": len(structures), "licence": "CC BY 4.0 (Materials Project)"}
    card = (Path(__file__).parent / "cards" / "generator.md").read_text()
    if args.start_from:
        config = config.model_copy(update={"start_from": str(args.start_from)})
    facts = fit_generator(data, config, args.out, Provenance(about, card))
    print(
        json.dumps(
            {
                "figure": facts,
                "n": len(structures),
                "seed": args.seed,
                "machine": platform.processor() or platform.machine(),
            }
        )
    )


if __name__ == "__main__":
    main()
