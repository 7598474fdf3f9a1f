"""Typed settings of a training run."""

from __future__ import annotations

import warnings
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dao_core.energy.objective import EnergySettings
from dao_core.generate.flow_matching import FlowSettings
from dao_core.models.config import CrysformerConfig, LocalAdditions, LocalConfig, ModelConfig
from dao_core.settings_error import SettingsError


class TrainingConfig(BaseModel):
    """How a network is trained. A run ends at `max_steps` or `max_seconds`, whichever comes first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelConfig = Field(default_factory=CrysformerConfig)
    process: Literal["flow", "diffusion"] = "flow"
    flow: FlowSettings = Field(default_factory=FlowSettings)
    pairs: int = Field(
        0, ge=0, description="structures whose best templates in the rest of the data are retrieved for seeded training"
    )
    energy: EnergySettings = Field(default_factory=EnergySettings, description="only used for a predictor")
    batch_size: int = Field(128, gt=0)
    max_pairs: int = Field(40_000, gt=0, description="most atom pairs (padded) in a batch: bounds memory")
    learning_rate: float = Field(1e-3, gt=0)
    final_learning_rate: float = Field(1e-5, gt=0)
    warmup_steps: int = Field(200, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    clip_value: float = Field(0.5, gt=0, description="gradients are clipped by value, as published")
    clip_norm: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    max_steps: int | None = Field(None, gt=0)
    max_seconds: float | None = Field(None, gt=0)
    clock: Literal["wall", "cpu"] = Field("wall", description="what max_seconds counts; cpu: for fair comparisons")
    checkpoint_every_s: float = Field(120.0, gt=0)
    threads: int = Field(1, gt=0, description="torch threads of the process; two only pay on an idle machine")
    ranks: int = Field(1, gt=0, description="processes on a machine that train together: one a GPU, or on the CPU")
    nodes: int = Field(1, gt=0, description="machines; with several, srun or torchrun starts the command on each")
    precision: Literal["auto", "32", "bf16-mixed"] = Field("auto", description="auto: bf16 on CUDA, 32 elsewhere")
    compile: Literal["auto", "never"] = Field(
        "auto", description="auto: torch.compile on CUDA, but not of a predictor that learns forces; never elsewhere"
    )
    seed: int = Field(0, ge=0)
    start_from: str | None = Field(
        None, description="continue a checkpoint's weights: a folder, or `generator` or `predictor` for those that ship"
    )
    grow: LocalAdditions | None = Field(
        None, description="with start_from: additions to the predictor's local network, without effect at first"
    )
    reference: str | None = Field(
        None,
        description="functional on whose scale a predictor answers; default: the commonest, or the one before it "
        "if a predictor is continued",
    )

    @model_validator(mode="after")
    def _has_an_end(self) -> TrainingConfig:
        if self.max_steps is None and self.max_seconds is None:
            raise ValueError("set max_steps or max_seconds: a run without an end is refused")
        return self

    @model_validator(mode="after")
    def _grows_what_there_is(self) -> TrainingConfig:
        if self.grow is not None and self.start_from is None:
            raise ValueError("grow adds to trained weights: name them in start_from, or put the additions into model")
        return self

    def for_generator(self) -> TrainingConfig:
        """These settings, for a generator.

        Raises:
            SettingsError: One is set that only a predictor follows, or the network predicts no cell.
        """
        if self.start_from is None and isinstance(self.model, LocalConfig):
            raise SettingsError(
                "a generator has to predict cells, which a local network cannot: name crysformer or cspnet"
            )
        for name in ("grow", "reference"):
            if getattr(self, name) is not None:
                raise SettingsError(f"{name} is a setting of predictors and does nothing for a generator: leave it out")
        return self

    @model_validator(mode="before")
    @classmethod
    def _drops_old_launcher(cls, data: Any) -> Any:
        """Settings of b90917e and before named a launcher; today srun or torchrun goes around the command."""
        if isinstance(data, dict) and (old := {"rendezvous", "launch"} & set(data)):
            warnings.warn(
                f"{', '.join(sorted(old))}: no longer read; start the command on each machine with srun or torchrun",
                FutureWarning,
                stacklevel=2,
            )
            return {k: v for k, v in data.items() if k not in old}
        return data
