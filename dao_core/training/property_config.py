"""Typed settings of a property fine-tuning."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from dao_core.models.config import LocalConfig, ModelConfig


class PropertySettings(BaseModel):
    """How DAO-P learns a scalar column. A fold ends when validation stops improving, or at the epochs or seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(description="name of the scalar column")
    transform: Literal["none", "log"] = Field("none", description="log: learn the natural logarithm")
    start: str | None = Field("predictor", description="DAO-P checkpoint (name or folder); null: from scratch")
    model: ModelConfig = Field(
        default_factory=lambda: LocalConfig(width=96, n_radial=20), description="network where start is null"
    )
    folds: int = Field(5, ge=2, description="parts by formula; each is predicted by a model that never saw it")
    validation_share: float = Field(0.1, gt=0, lt=0.5, description="of the training rows, for early stopping")
    batch_size: int = Field(32, gt=0)
    max_pairs: int = Field(10_000, gt=0, description="most atom pairs (padded) in a batch: bounds memory")
    learning_rate: float = Field(5e-4, gt=0, description="of the pretrained body")
    head_learning_rate: float = Field(1e-3, gt=0, description="of the new head, and of everything from scratch")
    weight_decay: float = Field(1e-5, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.995, ge=0, lt=1)
    max_epochs: int = Field(60, gt=0)
    patience: int = Field(8, gt=0, description="epochs without a better validation error before a fold stops")
    max_seconds: float | None = Field(None, gt=0, description="CPU seconds of one fold's training")
    seed: int = Field(0, ge=0)
