"""The Lightning module that trains either network: one objective, EMA, a schedule by steps or seconds."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dao_core.training.config import TrainingConfig
from dao_core.training.ema import WeightAverage
from dao_core.training.packed import Batch, SizedBatches
from dao_core.training.progress import TrainingProgress, report_progress

Objective = Callable[[nn.Module, Batch, torch.Generator], dict[str, Tensor]]
MAX_BAD_STEPS = 50


class DivergedError(RuntimeError):
    """A training whose gradients are no longer finite."""


class DaoModule(pl.LightningModule):
    """Trains `network` on `objective(network, batch, rng)`, whose "loss" is minimised.

    The random numbers of a step depend on (seed, step, rank) alone, so a resumed run repeats an undisturbed one.
    """

    def __init__(self, network: nn.Module, objective: Objective, config: TrainingConfig, batches: SizedBatches) -> None:
        super().__init__()
        self.network, self.objective, self.config, self.batches = network, objective, config, batches
        self.average = WeightAverage(network, config.ema_decay)
        self.structures = 0  # seen so far
        self.bad_steps = self.bad_in_a_row = 0  # without a finite gradient: not taken
        self.spent_s = 0.0  # training time of earlier attempts
        self._began = 0.0
        self._agreed: float | None = None
        self._clock = time.process_time if config.clock == "cpu" else time.monotonic

    @property
    def elapsed_s(self) -> float:
        """Training time over all attempts, in seconds of the configured clock; ranks go by that of the first."""
        if self._agreed is not None:
            return self._agreed
        return self.spent_s + (self._clock() - self._began if self._began else 0.0)

    @property
    def progress(self) -> float:
        """Finished share of the run, by steps or by seconds."""
        c = self.config
        by_step = self.global_step / c.max_steps if c.max_steps else 0.0
        by_time = self.elapsed_s / c.max_seconds if c.max_seconds else 0.0
        return min(1.0, max(by_step, by_time))

    def learning_rate(self) -> float:
        """Linear warm-up, then a cosine from the first to the final rate."""
        c = self.config
        rate = c.final_learning_rate + 0.5 * (c.learning_rate - c.final_learning_rate) * (
            1 + math.cos(math.pi * self.progress)
        )
        return rate * min(1.0, (self.global_step + 1) / max(c.warmup_steps, 1))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self.network.parameters(),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            fused=True,  # one pass over the weights: 3 ms instead of 15 a step of the laptop model
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        self.batches.rank, self.batches.world = self.trainer.global_rank, self.trainer.world_size
        return DataLoader(self.batches, batch_size=None)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:  # noqa: ARG002
        return batch.to(device)

    def on_train_start(self) -> None:
        self._began = self._clock()
        self.average.weights = {k: w.to(self.device) for k, w in self.average.weights.items()}

    def on_train_batch_start(self, *_: Any) -> None:
        """Ranks must agree on the time: the learning rate, the checkpoints and the end of the run depend on it."""
        if self.trainer.world_size > 1:
            self._agreed = None
            self._agreed = float(self.trainer.strategy.broadcast(self.elapsed_s))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        rng = torch.Generator().manual_seed(hash((self.config.seed, self.global_step, self.global_rank)) & 0x7FFFFFFF)
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = self.learning_rate()
        losses = self.objective(self.network, batch, rng)
        self.last_losses = {name: value.detach() for name, value in losses.items()}
        self.structures += len(batch.crystals) * self.trainer.world_size
        return losses["loss"]

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: Any, **__: Any) -> None:  # noqa: ARG002
        parameters = [p for p in self.network.parameters() if p.grad is not None]
        if not all(bool(torch.isfinite(p.grad).all()) for p in parameters if p.grad is not None):
            self._drop_step(parameters)
            return
        self.bad_in_a_row = 0
        torch.nn.utils.clip_grad_value_(parameters, self.config.clip_value)
        torch.nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)

    def _drop_step(self, parameters: list[nn.Parameter]) -> None:
        """One bad batch must not ruin the weights, and many of them must not pass for a training."""
        self.bad_steps, self.bad_in_a_row = self.bad_steps + 1, self.bad_in_a_row + 1
        if self.bad_in_a_row >= MAX_BAD_STEPS:
            raise DivergedError(
                f"{self.bad_in_a_row} steps in a row without a finite gradient, the last is step {self.global_step}: "
                "lower learning_rate, or look for broken rows in the data"
            )
        for p in parameters:
            p.grad = None

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        # here and not at the end of the batch, where callbacks save the resume state before the module's turn
        self.average.update(self.network)

    def on_train_batch_end(self, *_: Any) -> None:
        if self.config.max_seconds and self.elapsed_s >= self.config.max_seconds:
            self.trainer.should_stop = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["dao"] = {
            "structures": self.structures,
            "bad_steps": self.bad_steps,
            "spent_s": self.elapsed_s,
            "average": self.average.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        said = checkpoint["dao"]
        self.structures, self.spent_s = said["structures"], said["spent_s"]
        self.bad_steps = said.get("bad_steps", 0)
        self.average.load_state_dict(said["average"])


class RunLog(pl.Callback):
    """Prints one line now and then, appends the averaged losses to `history.jsonl` and saves the resume state."""

    def __init__(self, directory: Path, *, every_s: float, checkpoint_every_s: float) -> None:
        self.directory, self.every_s, self.checkpoint_every_s = directory, every_s, checkpoint_every_s
        self.sums: dict[str, float] = {}
        self.count = 0
        self.live = False  # somebody shows the progress: no lines

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.logged = self.saved = self.told = _now(trainer, pl_module)
        self.mark = getattr(pl_module, "structures", 0)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, DaoModule)
        for name, value in pl_module.last_losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
        self.count += 1
        now = _now(trainer, pl_module)
        if now - self.told >= 1.0:
            self.told = now
            rate = (pl_module.structures - self.mark) / max(now - self.logged, 1e-9)
            loss = self.sums.get("loss", 0.0) / self.count
            self.live = report_progress(TrainingProgress(pl_module.progress, trainer.global_step, rate, loss))
        if now - self.logged >= self.every_s or trainer.should_stop:
            self._log(trainer, pl_module, now)
        if now - self.saved >= self.checkpoint_every_s or trainer.should_stop:
            trainer.save_checkpoint(self.directory / "last")
            self.saved = now

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DaoModule)
        if self.count:
            self._log(trainer, pl_module, _now(trainer, pl_module))
        trainer.save_checkpoint(self.directory / "last")

    def _log(self, trainer: pl.Trainer, module: DaoModule, now: float) -> None:
        rate = (module.structures - self.mark) / max(now - self.logged, 1e-9)
        losses = {name: total / self.count for name, total in self.sums.items()}
        left = module.elapsed_s * (1 / max(module.progress, 1e-9) - 1)
        row = {
            "step": trainer.global_step,
            "elapsed_s": round(module.elapsed_s, 1),
            "structures": module.structures,
            "structures_per_s": round(rate, 1),
            "learning_rate": module.learning_rate(),
            **{name: round(value, 5) for name, value in losses.items()},
        }
        self.sums, self.count, self.logged, self.mark = {}, 0, now, module.structures
        if not trainer.is_global_zero:
            return
        with (self.directory / "history.jsonl").open("a") as handle:
            handle.write(json.dumps(row) + "\n")
        if self.live:
            return
        text = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
        print(
            f"step {row['step']}  {text}  {rate:.0f} structures/s  {module.progress:.0%} done, {left:.0f} s left",
            flush=True,
        )


def _now(trainer: pl.Trainer, module: pl.LightningModule) -> float:
    """The clock of the log: this process's own, or the one that several ranks agree on."""
    if trainer.world_size > 1 and isinstance(module, DaoModule):
        return module.elapsed_s
    return time.monotonic()
