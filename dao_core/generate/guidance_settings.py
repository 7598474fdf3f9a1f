"""How strongly and when an energy steers samples: settings alone, so that reading them imports no network."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class GuidanceSettings(BaseModel):
    """How the energy steers: by its gradient on the way, and by a choice among several draws at the end.

    `scale` is beta in z-scored energy units (the paper uses 20).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: float = Field(1.0, ge=0)
    window: tuple[float, float] = Field((0.3, 0.95), description="flow times between which it acts")
    every: int = Field(1, ge=1, description="gradient every so many steps, then this much stronger")
    clip: float = Field(0.5, gt=0, description="largest change of a velocity component, in units of the base's spread")
    draws: int = Field(1, ge=1, le=64, description="samples drawn for each that is kept: those of lowest energy are")
