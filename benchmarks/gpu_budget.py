"""Memory and hours of a GPU pretraining by arithmetic: nothing here is measured.

python benchmarks/gpu_budget.py --config configs/train-crysformer-paper.yaml --structures 919258 --epochs 800 --gpus 3
Parameters are counted on the real network. Operations and bytes of a step follow from its layers
(docs/gpu_pretraining.md). Speed is what remains of the card's peak at the given efficiencies. Prints one
JSON line last.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import yaml

from dao_core.models.build import build_network
from dao_core.models.config import CrysformerConfig
from dao_core.models.heads import parameter_count
from dao_core.training.config import TrainingConfig

CARDS = {"A100-80": (312e12, 2.0e12), "H100-80": (989e12, 3.35e12), "RTX4090-24": (165e12, 1.0e12)}


def parameters(config: CrysformerConfig) -> int:
    with torch.device("meta"):
        return parameter_count(build_network(config))


def pair_size(config: CrysformerConfig) -> tuple[int, int]:
    """Size of the raw pair features, and of what attention reads."""
    raw = (10 if config.normalized_gram else 9) + 6 * config.n_frequencies
    raw += config.n_radial if config.distances else 0
    return raw, config.pair_width or raw


def forward_flops(c: CrysformerConfig, n: float, n2: float) -> float:
    """Multiply-adds times two of one structure: `n` atoms, `n2` ordered pairs (means over the data)."""
    raw, size = pair_size(c)
    dense = 24 * n * c.width**2  # qkv 6, out 2, feed-forward 16
    pairs = 2 * (2 * n * c.width * size) + 2 * (2 * n2 * c.n_heads * size)  # projections of queries and messages, sums
    attention = 4 * n2 * c.width
    embedding = 2 * n2 * (raw * 2 * size + 2 * size * size) if c.pair_width else 0.0
    return c.n_blocks * (dense + pairs + attention) + embedding


def activation_bytes(c: CrysformerConfig, n: float, n2: float) -> float:
    """Kept for the backward pass of one structure, bf16 (2 bytes a number), raw pair features in float32 too."""
    raw, size = pair_size(c)
    per_block = 2 * (n * (3 + 1 + 1 + 4 + 4 + 1) * c.width + 2 * n * c.n_heads * size + 3 * n2 * c.n_heads)
    features = n2 * raw * (4 + 4 + 2) + (n2 * (2 * size + size) * 2 if c.pair_width else 0)
    return c.n_blocks * per_block + features


def traffic_bytes(c: CrysformerConfig, n: float, n2: float) -> float:
    """Moved in forward and backward of one structure: activations written once and read twice, pairs in each block."""
    _, size = pair_size(c)
    return 3 * activation_bytes(c, n, n2) + c.n_blocks * 6 * 2 * n2 * size


def budget(config: TrainingConfig, args: argparse.Namespace) -> dict[str, Any]:
    c = config.model
    if not isinstance(c, CrysformerConfig):
        raise TypeError("the formulas are for crysformer")
    n, n2 = args.mean_atoms, args.mean_pairs
    count = parameters(c)
    states = 20.0 * count  # weights 4, gradient 4, Adam 8, average 4
    batch = min(config.batch_size, config.max_pairs / n2)
    peak, bandwidth = CARDS[args.card]
    compute = 3 * forward_flops(c, n, n2) / (peak * args.compute_efficiency)
    memory = traffic_bytes(c, n, n2) / (bandwidth * args.memory_efficiency)
    per_s = 1 / (compute + memory)
    steps = args.structures * args.epochs / (batch * args.gpus)
    return {
        "parameters": count,
        "GiB_states": round(states / 2**30, 2),
        "GiB_activations": round(batch * activation_bytes(c, n, n2) / 2**30, 1),
        "GiB_largest_batch": round(config.max_pairs / n2 * activation_bytes(c, n, n2) / 2**30, 1),
        "structures_a_step_and_gpu": round(batch),
        "GFLOP_a_structure_forward": round(forward_flops(c, n, n2) / 1e9, 3),
        "structures_per_s_and_gpu": round(per_s),
        "steps": round(steps),
        "hours": round(args.structures * args.epochs / (per_s * args.gpus) / 3600, 1),
        "card": args.card,
        "gpus": args.gpus,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/train-crysformer-paper.yaml"))
    parser.add_argument("--card", choices=list(CARDS), default="A100-80")
    parser.add_argument("--gpus", type=int, default=3)
    parser.add_argument("--structures", type=int, default=919_258)
    parser.add_argument("--epochs", type=int, default=800)
    parser.add_argument("--mean-atoms", type=float, default=11.0, help="padded cell, mean over structures")
    parser.add_argument("--mean-pairs", type=float, default=160.0, help="of its square")
    parser.add_argument("--compute-efficiency", type=float, default=0.25, help="share of the peak in matrix products")
    parser.add_argument("--memory-efficiency", type=float, default=0.4, help="share of the bandwidth")
    args = parser.parse_args()
    config = TrainingConfig(**yaml.safe_load(args.config.read_text()))
    print(json.dumps({"figure": budget(config, args), "n": args.structures, "computed": True, "measured": False}))


if __name__ == "__main__":
    main()
