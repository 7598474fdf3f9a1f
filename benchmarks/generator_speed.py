"""Speed and memory of the generator: Crysformer against CSPNet, flow against diffusion, sampling memory.

python benchmarks/generator_speed.py [--rounds 5]
Both sides of a ratio run in turn in this process, on one thread. Appends rows 5, 6 and 8 of issue "generator", and the
share of the optimal assignment in a training step.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from bars import record_bar

from dao_core.crystal import Crystal, CrystalBatch
from dao_core.generate.diffusion import STEPS, diffusion_loss, sample_diffusion
from dao_core.generate.flow_matching import (
    FlowPath,
    FlowSettings,
    FlowState,
    Seeds,
    base_sample,
    flow_loss,
    training_base,
)
from dao_core.generate.integrate import SamplerSettings, integrate
from dao_core.models.build import build_network
from dao_core.models.config import CspnetConfig
from dao_core.models.heads import parameter_count
from dao_core.models.lattice_base import LatticeBase
from dao_core.training.config import TrainingConfig

CONFIGS = Path(__file__).parents[1] / "configs"


def random_batch(n_structures: int, n_atoms: int, seed: int = 0) -> CrystalBatch:
    """Random structures of realistic density: speed doesn't depend on where the atoms are."""
    rng = np.random.default_rng(seed)
    size = (16.0 * n_atoms) ** (1 / 3)
    crystals = [
        Crystal(
            (np.eye(3) + 0.05 * rng.normal(size=(3, 3))) * size,
            rng.random((n_atoms, 3)),
            rng.choice(rng.integers(3, 80, 3), n_atoms),  # about three elements, as real cells have
        )
        for _ in range(n_structures)
    ]
    return CrystalBatch.from_crystals(crystals)


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def cpu_seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def training_ratio(rounds: int) -> tuple[list[float], dict[str, object]]:
    """Structures/s of Crysformer over CSPNet at equal parameters, batch 128, each with its own process and
    optimiser step."""
    settings = TrainingConfig(**yaml.safe_load((CONFIGS / "train-laptop.yaml").read_text()))
    crysformer = build_network(settings.model)
    width = 64  # the widest CSPNet that has no more parameters
    while parameter_count(
        build_network(CspnetConfig(width=width + 8, n_blocks=6, n_frequencies=16, time_dim=64))
    ) <= parameter_count(crysformer):
        width += 8
    cspnet = build_network(CspnetConfig(width=width, n_blocks=6, n_frequencies=16, time_dim=64))
    data = random_batch(128, 10)
    base = LatticeBase.fit([c for c in data.to_crystals() if isinstance(c, Crystal)])
    rng = torch.Generator().manual_seed(0)
    none = torch.zeros(128, dtype=torch.bool)

    def step(network: torch.nn.Module, loss: Callable[[], dict[str, torch.Tensor]]) -> Callable[[], None]:
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

        def work() -> None:
            optimizer.zero_grad()
            loss()["loss"].backward()
            optimizer.step()

        return work

    path = FlowPath(base, FlowSettings())
    ours = step(
        crysformer,
        lambda: flow_loss(crysformer, training_base(data, Seeds(none, none), path, rng), data, path, rng),
    )
    theirs = step(cspnet, lambda: diffusion_loss(cspnet, data, rng))
    ours(), theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    about = {
        "parameters": [parameter_count(crysformer), parameter_count(cspnet)],
        "structures_per_s": [round(128 / float(np.median([p[i] for p in pairs])), 1) for i in (0, 1)],
    }
    return [b / a for a, b in pairs], about


def assignment_share(rounds: int, n_atoms: int) -> list[float]:
    """CPU time of the optimal assignment over that of a whole training step of Crysformer, batch 128."""
    settings = TrainingConfig(**yaml.safe_load((CONFIGS / "train-laptop.yaml").read_text()))
    network = build_network(settings.model)
    data = random_batch(128, n_atoms)
    base = LatticeBase.fit([c for c in data.to_crystals() if isinstance(c, Crystal)])
    rng = torch.Generator().manual_seed(0)
    none = torch.zeros(128, dtype=torch.bool)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def start(assign: bool) -> FlowState:
        return training_base(data, Seeds(none, none), FlowPath(base, FlowSettings(assign=assign)), rng)

    def step() -> None:
        optimizer.zero_grad()
        flow_loss(network, start(True), data, FlowPath(base, FlowSettings()), rng)["loss"].backward()
        optimizer.step()

    step()
    out = []
    for _ in range(rounds):
        assigned, plain = cpu_seconds(lambda: start(True)), cpu_seconds(lambda: start(False))
        out.append((assigned - plain) / cpu_seconds(step))
    return out


def sampling_ratio(rounds: int) -> list[float]:
    """Time of 1000 predictor-corrector steps over 50 flow steps, same network; the diffusion is timed on 20 of its
    steps."""
    settings = TrainingConfig(**yaml.safe_load((CONFIGS / "train-laptop.yaml").read_text()))
    network = build_network(settings.model).eval()
    data = random_batch(32, 10)
    base = LatticeBase.fit([c for c in data.to_crystals() if isinstance(c, Crystal)])
    rng = torch.Generator().manual_seed(0)
    numbers, timed = data.atomic_numbers, 20
    streams = [np.random.default_rng(i) for i in range(len(data))]

    def flow() -> None:
        integrate(network, base_sample(numbers, rng), FlowPath(base, FlowSettings()), SamplerSettings(steps=50))

    def diffusion() -> None:
        sample_diffusion(network, numbers, streams, steps=timed)

    sample_diffusion(network, numbers, streams, steps=1)  # builds the schedule tables
    return [seconds(diffusion) * STEPS / timed / seconds(flow) for _ in range(rounds)]


def sampling_memory() -> float:
    """Peak resident memory in GiB of drawing 1,000 structures of 20 atoms (few steps: memory doesn't grow with
    them)."""
    from dao_core.generate.sampler import Generator, SampleStart

    generator = Generator.load("generator", SamplerSettings(steps=3))
    seen = np.array(sorted(generator.elements))
    rng = np.random.default_rng(0)
    generator.sample([SampleStart(np.sort(rng.choice(seen, 20)), seed) for seed in range(1000)])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def record(row: int, what: str, value: object, bar: object, met: bool, n: int, interval: str) -> None:
    line = {
        "issue": "generator", "row": row, "what": what, "value": value, "bar": bar, "met": met, "n": n,
        "interval": interval, "command": "python benchmarks/generator_speed.py", "seed": 0,
        "machine": f"{platform.machine()}, 1 thread",
    }  # fmt: skip
    record_bar(**line)


def spread(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f} over rounds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    training, about = training_ratio(args.rounds)
    shares = {n: assignment_share(args.rounds, n) for n in (10, 20)}
    sampling = sampling_ratio(args.rounds)
    memory = sampling_memory()
    figure = {
        "training_ratio": round(float(np.median(training)), 2), **about,
        "assignment_share": {n: float(np.median(s)) for n, s in shares.items()},
        "sampling_ratio": round(float(np.median(sampling)), 1), "sampling_peak_GiB": round(memory, 2),
    }  # fmt: skip
    record(5, f"training throughput crysformer over cspnet, {about}", figure["training_ratio"], 1.5,
           figure["training_ratio"] >= 1.5, args.rounds, spread(training))  # fmt: skip
    assigning = {n: round(100 * float(np.median(s)), 1) for n, s in shares.items()}
    record(0, "share of the optimal assignment in a training step, batch 128, by atoms a cell, %", assigning, 10,
           max(assigning.values()) <= 10, args.rounds,
           "; ".join(spread([100 * x for x in s]) for s in shares.values()))  # fmt: skip
    record(6, "seconds a structure: diffusion 1000 x 2 over flow 50, same network", figure["sampling_ratio"], 20,
           figure["sampling_ratio"] >= 20, args.rounds, spread(sampling))  # fmt: skip
    record(8, "peak memory of sampling 1,000 structures of 20 atoms, GiB", figure["sampling_peak_GiB"], 4,
           memory <= 4, 1000, "one run")  # fmt: skip
    print(json.dumps({"figure": figure, "n": args.rounds, "seed": 0, "machine": platform.machine()}))


if __name__ == "__main__":
    main()
