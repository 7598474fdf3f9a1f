"""The training loop of the symmetry networks: a fixed time of one core, stopped and continued at will."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from dao_core.artifacts import write_atomic
from dao_core.generate.symmetry.transformer import SymmetryNetworkConfig
from dao_core.training.average import averaged_model

SAVE_EVERY = 120.0  # CPU seconds
BUCKET = 24  # batches sorted by length together: little padding, still shuffled
STATE = "state.pt"


class SymmetryTrainingConfig(BaseModel):
    """How a symmetry network is trained. The learning rate falls to a fiftieth by a cosine over `cpu_seconds`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: SymmetryNetworkConfig = Field(default_factory=SymmetryNetworkConfig)
    cpu_seconds: float = Field(1500.0, gt=0)
    batch_size: int = Field(128, gt=0)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.03, ge=0)
    warmup: int = Field(200, gt=0, description="steps")
    average: float = Field(0.998, gt=0, lt=1, description="decay of the weights' running average")
    substitution: float = Field(0.1, ge=0, lt=1, description="chance that an element is replaced by a similar one")
    equivalent: float = Field(0.5, ge=0, le=1, description="chance of an equivalent description, marked as such")
    reordered: float = Field(0.5, ge=0, le=1, description="chance of another order of the elements")
    seed: int = Field(0, ge=0)


class Examples(Protocol):
    """What a network learns from."""

    lengths: NDArray[np.int64]

    def loss(self, network: nn.Module, rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Mean loss of some rows in training."""
        ...

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Figures on data that the network doesn't see."""
        ...


def train(network: nn.Module, examples: Examples, config: SymmetryTrainingConfig, out: Path) -> dict[str, Any]:
    """Train until the CPU time is used; a state in the folder is continued. The network ends with its averaged weights.

    Args:
        network: Trained in place.
        examples: What it learns from and is validated on.
        config: Rates, batch size and CPU seconds.
        out: Folder of the state.

    Returns:
        Facts of the run: CPU seconds, steps, epochs and validation figures.
    """
    run = _Run(network, config, out)
    run.restore()
    saved = run.spent
    while not run.finished:
        for rows in _batches(examples.lengths, config, run.epoch):
            run.step(examples, rows)
            if run.finished:
                break
            if run.spent - saved > SAVE_EVERY:
                saved = run.spent
                run.save()
        run.epoch += 1
        if run.epoch % 4 == 0 or run.finished:
            run.report(examples)
    if not run.figures:  # stopped between the end and what was to be written of it
        run.report(examples)
    run.save()
    network.load_state_dict(run.average.module.state_dict())
    network.eval()
    return {"cpu_seconds": round(run.spent), "steps": run.steps, "epochs": run.epoch, **run.figures}


def _batches(lengths: NDArray[np.int64], config: SymmetryTrainingConfig, epoch: int) -> Iterator[NDArray[np.int64]]:
    """All rows once, shuffled, rows of similar length together."""
    rng = np.random.default_rng((config.seed, epoch))
    order = rng.permutation(len(lengths))
    batches = []
    for begin in range(0, len(order), config.batch_size * BUCKET):
        part = order[begin : begin + config.batch_size * BUCKET]
        part = part[np.argsort(lengths[part] + rng.random(len(part)))]
        batches += [part[k : k + config.batch_size] for k in range(0, len(part), config.batch_size)]
    yield from (batches[k] for k in rng.permutation(len(batches)))


class _Run:
    """Weights, optimiser, average and the clock of one training."""

    def __init__(self, network: nn.Module, config: SymmetryTrainingConfig, out: Path) -> None:
        self.network, self.config, self.out = network, config, out
        decayed = [p for p in network.parameters() if p.ndim > 1]
        rest = [p for p in network.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))
        self.average = averaged_model(network, config.average)
        self.spent, self.steps, self.epoch = 0.0, 0, 0
        self.figures: dict[str, float] = {}
        self.losses: list[float] = []
        self.clock = time.process_time()

    @property
    def finished(self) -> bool:
        return self.spent >= self.config.cpu_seconds

    def step(self, examples: Examples, rows: NDArray[np.int64]) -> None:
        share = min(1.0, self.spent / self.config.cpu_seconds)
        rate = self.config.learning_rate * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * min(1.0, (self.steps + 1) / self.config.warmup)
        torch.manual_seed(self.config.seed + self.steps)  # dropout is the same after a resume
        rng = np.random.default_rng((self.config.seed, 1, self.steps))
        self.network.train()
        loss = examples.loss(self.network, rows, rng)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.losses.append(float(loss.detach()))
        self.steps += 1
        now = time.process_time()
        self.spent, self.clock = self.spent + now - self.clock, now

    def report(self, examples: Examples) -> None:
        """Validate the averaged weights; the time for it isn't counted."""
        weights = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.average.module.state_dict())
        self.network.eval()
        with torch.no_grad():
            self.figures = {k: round(v, 4) for k, v in examples.validate(self.network).items()}
        self.network.load_state_dict(weights)
        mean = float(np.mean(self.losses)) if self.losses else float("nan")
        print(f"epoch {self.epoch} step {self.steps} CPU {self.spent:.0f} s loss {mean:.4f} {self.figures}", flush=True)
        self.losses = []
        self.clock = time.process_time()

    def save(self) -> None:
        buffer = io.BytesIO()
        state = {
            "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(),
            "average": self.average.module.state_dict(), "spent": self.spent, "steps": self.steps, "epoch": self.epoch,
        }  # fmt: skip
        torch.save(state, buffer)
        self.out.mkdir(parents=True, exist_ok=True)
        write_atomic(self.out / STATE, buffer.getvalue())

    def restore(self) -> None:
        path = self.out / STATE
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.module.load_state_dict(state["average"])
        self.spent, self.steps, self.epoch = state["spent"], state["steps"], state["epoch"]
        self.average.n_averaged.fill_(self.steps)
