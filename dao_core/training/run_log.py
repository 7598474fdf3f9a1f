"""What a training writes while it runs: lines for people, `history.jsonl`, and the state it resumes from."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytorch_lightning as pl

from dao_core.training.module import DaoModule
from dao_core.training.progress import TrainingProgress, report_progress

LAST = "last"  # folder of the resume state


class TrainingLog(pl.Callback):
    """Prints one line now and then, appends the averaged losses to `history.jsonl` and saves the resume state."""

    def __init__(self, directory: Path, *, every_s: float, checkpoint_every_s: float) -> None:
        """Nothing is written before the training starts.

        Args:
            directory: Where `history.jsonl` and the resume state go.
            every_s: Seconds between lines.
            checkpoint_every_s: Seconds between resume states.
        """
        self.directory, self.every_s, self.checkpoint_every_s = directory, every_s, checkpoint_every_s
        self.sums: dict[str, float] = {}
        self.counts: Counter[str] = Counter()  # of each loss: not every batch has all of them
        self.live = False  # somebody shows the progress: no lines

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clocks."""
        self.logged = self.saved = self.reported = _now(trainer, pl_module)
        self.mark = getattr(pl_module, "structures", 0)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """Sum the losses; report, log and save where it is time."""
        assert isinstance(pl_module, DaoModule)
        for name, value in pl_module.last_losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
            self.counts[name] += 1
        now = _now(trainer, pl_module)
        if now - self.reported >= 1.0:
            self.reported = now
            rate = (pl_module.structures - self.mark) / max(now - self.logged, 1e-9)
            loss = self.sums["loss"] / self.counts["loss"]
            self.live = report_progress(TrainingProgress(pl_module.progress, trainer.global_step, rate, loss))
        if now - self.logged >= self.every_s or trainer.should_stop:
            self._log(trainer, pl_module, now)
        if now - self.saved >= self.checkpoint_every_s or trainer.should_stop:
            trainer.save_checkpoint(self.directory / LAST)
            self.saved = now

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log what is left and save the state that the run ends with."""
        assert isinstance(pl_module, DaoModule)
        if self.sums:
            self._log(trainer, pl_module, _now(trainer, pl_module))
        trainer.save_checkpoint(self.directory / LAST)

    def _log(self, trainer: pl.Trainer, module: DaoModule, now: float) -> None:
        rate = (module.structures - self.mark) / max(now - self.logged, 1e-9)
        losses = {name: total / self.counts[name] for name, total in self.sums.items()}
        left = module.elapsed_s * (1 / max(module.progress, 1e-9) - 1)
        row = {
            "step": trainer.global_step,
            "elapsed_s": round(module.elapsed_s, 1),
            "structures": module.structures,
            "structures_per_s": round(rate, 1),
            "learning_rate": module.learning_rate(),
            **{name: round(value, 5) for name, value in losses.items()},
        }
        self.sums, self.counts, self.logged, self.mark = {}, Counter(), now, module.structures
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
