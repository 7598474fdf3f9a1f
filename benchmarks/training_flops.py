"""Arithmetic of one training structure: floating-point operations of forward and backward, counted by PyTorch.

python benchmarks/training_flops.py --config configs/train-crysformer-paper.yaml
The batches are those that the training loader draws from the embedded sample (or from MP-20: --mp20 train.parquet), so
padding counts too. For docs/scaling.md; no row of an issue's table.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from bars import machine
from torch.utils.flop_counter import FlopCounterMode

from dao_core.crysdb.config import FilesConfig, SampleConfig, open_source
from dao_core.crysdb.schema import CrysRecord
from dao_core.models.build import build_network
from dao_core.models.lattice_base import LatticeBase
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_generator import generator_objective
from dao_core.training.packed import PackedCrystals, SizedBatches
from tasks.config import load_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("configs/train-crysformer-paper.yaml"))
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--mp20", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config(args.config, TrainingConfig)
    source: SampleConfig | FilesConfig = SampleConfig()
    if args.mp20 is not None:
        source = FilesConfig(name="mp-20", paths=(args.mp20,), functional="PBE", mapping="mp_20")
    items = itertools.islice(open_source(source).iter_records(None, None), 4000)
    crystals = [i.value.crystal for i in items if isinstance(i.value, CrysRecord)]
    data = PackedCrystals.from_crystals(crystals)
    network, base = build_network(config.model), LatticeBase.fit(crystals)
    objective = generator_objective(config, base, None, None)
    structures, begin, atoms = 0, time.process_time(), []
    counter = FlopCounterMode(display=False)
    with counter:
        for _, batch in zip(range(args.batches), SizedBatches(data, batch_size=args.batch_size, seed=0), strict=False):
            objective(network, batch, torch.Generator().manual_seed(0))["loss"].backward()
            structures += len(batch.crystals)
            atoms.append(int((batch.crystals.atomic_numbers > 0).sum()))
    seconds = time.process_time() - begin
    parameters = sum(p.numel() for p in network.parameters())
    line = {
        "figure": round(counter.get_total_flops() / structures / 1e9, 2),
        "unit": "GFLOP a structure",
        "n": structures,
        "seed": 0,
        "parameters": parameters,
        "mean_atoms": round(float(np.sum(atoms)) / structures, 1),
        "cpu_seconds_a_structure": round(seconds / structures, 3),
        "machine": machine(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
