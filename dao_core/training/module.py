"""The Lightning module that trains every network: one objective, an average of the weights, a schedule by steps or
seconds.
"""

from __future__ import annotations

import math
import time
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from dao_core.models.checkpoint_io import weights_hash
from dao_core.training.average import averaged_model
from dao_core.training.config import TrainingConfig
from dao_core.training.distributed import RanksError
from dao_core.training.job import VALIDATION, TrainingJob
from dao_core.training.packed import Batch, SizedBatches

MAX_BAD_STEPS = 50
OWN_STATE = "dao"  # key of what a resume state holds beside Lightning's own


class DivergedError(RuntimeError):
    """A training whose gradients are no longer finite."""


class DaoModule(pl.LightningModule):
    """Trains a job's network on its objective, whose "loss" is minimised.

    The random numbers of a step depend on (seed, step, rank) alone, so a resumed run repeats an undisturbed one.
    """

    def __init__(self, job: TrainingJob, config: TrainingConfig, batches: SizedBatches, origin: str) -> None:
        """Take what is trained, and how.

        Args:
            job: Network, objective and data.
            config: Rates, sizes and the end of the run.
            batches: The job's data in batches, from the step at which the run starts.
            origin: What tells this run from others, kept in its resume state.
        """
        super().__init__()
        self.network, self.job, self.config, self.batches = job.network, job, config, batches
        self.origin = origin
        self.average = averaged_model(job.network, config.ema_decay)
        self.last_losses: dict[str, Tensor] = {}
        self.validations: list[float] = []  # of the averaged weights, each time they were validated
        self.structures = 0  # seen so far
        self.bad_steps = self.bad_in_a_row = 0  # without a finite gradient: not taken
        self.spent_s = 0.0  # training time of earlier attempts
        self._began = 0.0
        self._agreed: float | None = None

    def _clock(self) -> float:
        return time.process_time() if self.config.clock == "cpu" else time.monotonic()

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

    def _rate_factor(self) -> float:
        """Linear warm-up, then a cosine from the first to the final rate, as a factor on the first."""
        c = self.config
        final = c.final_learning_rate / c.learning_rate
        factor = final + 0.5 * (1 - final) * (1 + math.cos(math.pi * self.progress))
        return factor * min(1.0, (self.global_step + 1) / max(c.warmup_steps, 1))

    def learning_rate(self) -> float:
        """The rate of the next step, of the first group of parameters."""
        return self.config.learning_rate * self._rate_factor()

    def configure_optimizers(self) -> Any:
        """AdamW, and a schedule that Lightning steps; it reads the progress, which may go by seconds."""
        optimizer = torch.optim.AdamW(
            self.job.parameter_groups or self.network.parameters(),  # type: ignore[arg-type]
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            fused=True,  # one pass over the weights: 3 ms instead of 15 a step of the laptop model
        )
        schedule = LambdaLR(optimizer, lambda _: self._rate_factor())
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def train_dataloader(self) -> DataLoader[Batch]:
        """The batches of this rank."""
        self.batches.rank, self.batches.world = self.trainer.global_rank, self.trainer.world_size
        return DataLoader(self.batches, batch_size=None)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:  # noqa: ARG002
        """Move a batch; it knows itself how."""
        return batch.to(device)

    def on_train_start(self) -> None:
        """Start the clock; a resumed run goes on at the rate of its own settings, not at the one that was saved."""
        self._began = self._clock()
        schedule: Any = self.lr_schedulers()
        for group, rate in zip(schedule.optimizer.param_groups, schedule.base_lrs, strict=True):
            group["lr"] = rate * self._rate_factor()

    def on_train_batch_start(self, *_: Any) -> None:
        """Ranks must agree on the time: the learning rate, the checkpoints and the end of the run depend on it."""
        if self.trainer.world_size > 1:
            self._agreed = None
            self._agreed = float(self.trainer.strategy.broadcast(self.elapsed_s))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """The loss of one batch."""
        rng = torch.Generator().manual_seed(hash((self.config.seed, self.global_step, self.global_rank)) & 0x7FFFFFFF)
        losses = self.job.objective(self.network, batch, rng)
        self.last_losses = {name: value.detach() for name, value in losses.items()}
        self.structures += len(batch.crystals) * self.trainer.world_size
        return losses["loss"]

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: Any, **__: Any) -> None:  # noqa: ARG002
        """Clip by value and by norm; a step without a finite gradient is dropped."""
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
        """The step, then the average."""
        super().optimizer_step(*args, **kwargs)
        # here and not at the end of the batch, where callbacks save the resume state before the module's turn
        self.average.update_parameters(self.network)

    def on_train_batch_end(self, *_: Any) -> None:
        """End the run where its time is up."""
        if self.config.max_seconds and self.elapsed_s >= self.config.max_seconds:
            self.trainer.should_stop = True

    def on_train_end(self) -> None:
        """Ranks that averaged their gradients have the same weights; where they don't, nothing was trained."""
        if self.trainer.world_size > 1:
            own = int(weights_hash(self.network)[:15], 16)
            every = self.all_gather(torch.tensor(own, dtype=torch.int64, device=self.device)).flatten().tolist()
            if len(set(every)) > 1:
                raise RanksError(f"{len(every)} ranks end with different weights: the network is not trained")

    def val_dataloader(self) -> DataLoader[Tensor]:
        """One item: a validation is one call of the job's own."""
        return DataLoader([torch.zeros(1)] if self.job.validate else [], batch_size=None)  # type: ignore[arg-type]

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:  # noqa: ARG002
        """Validate the averaged weights."""
        assert self.job.validate is not None
        figure = self.job.validate(self.average.module)
        self.validations.append(figure)
        self.log(VALIDATION, torch.tensor(figure, dtype=torch.float64))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know to a resume state."""
        losses = {name: float(value) for name, value in self.last_losses.items()}
        checkpoint[OWN_STATE] = {
            "structures": self.structures,
            "bad_steps": self.bad_steps,
            "spent_s": self.elapsed_s,
            "last_losses": losses,
            "origin": self.origin,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take a resume state, also one of b90917e and before, which kept the average on its own."""
        own = checkpoint[OWN_STATE]
        self.structures, self.spent_s = own["structures"], own["spent_s"]
        self.bad_steps = own.get("bad_steps", 0)
        if "average" in own:
            weights = dict(own["average"])
            checkpoint["state_dict"]["average.n_averaged"] = torch.tensor(int(weights.pop("updates")) + 1)
            checkpoint["state_dict"] |= {f"average.module.{name}": w for name, w in weights.items()}
