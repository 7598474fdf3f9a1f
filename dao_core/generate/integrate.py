"""Integrating the trained flow from base to data: ODE (Euler with anti-annealing) and a stochastic variant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from dao_core.crystal import CrystalBatch
from dao_core.generate.diffusion import STEPS
from dao_core.generate.divergence import DivergenceGuard
from dao_core.generate.flow_matching import FlowPath, FlowState, remove_mean, velocities

if TYPE_CHECKING:
    from dao_core.generate.constraints import Rules

Guidance = Callable[[FlowState, Tensor, Tensor], tuple[Tensor, Tensor]]


class SamplerSettings(BaseModel):
    """Settings of sampling; nothing here needs a new training. Those but `diffusion_steps` are the flow's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(50, gt=0, description="network evaluations from an uninformed base")
    seeded_steps: int = Field(10, gt=0, description="network evaluations from a template")
    seeded_symprec: float = Field(
        0.1, ge=0, description="the symmetry that a template has within this many angstrom is kept; 0: none is"
    )
    anti_annealing: float = Field(5.0, ge=0, description="coordinate velocity is multiplied by 1 + this * t")
    method: Literal["ode", "sde"] = "ode"
    diffusion_steps: int = Field(STEPS, gt=0, le=STEPS, description="steps of two evaluations each, by diffusion")
    churn: float = Field(0.3, ge=0, le=1, description="sde: share of the remaining noise that is drawn anew each step")


@dataclass(frozen=True)
class Steering:
    """What acts on a trajectory beside the network.

    `noise` gives fresh base noise (coordinates (B, N, 3) in [-0.5, 0.5), lattice (B, 6)) for the stochastic sampler,
    which is for the uninformed base only: from a template the path is followed as it is. `guidance` returns additions
    to the velocities at (state, lattice, t); `rules` keeps what is given beforehand.
    """

    noise: Callable[[], tuple[Tensor, Tensor]] | None = None
    guidance: Guidance | None = None
    rules: Rules | None = None


@torch.no_grad()
def integrate(
    network: nn.Module, start: FlowState, path: FlowPath, settings: SamplerSettings, steering: Steering | None = None
) -> CrystalBatch:
    """Follow the flow from t = 0 to 1. A sample that diverges ends with a lattice of NaN, the others as without it.

    Args:
        network: A trained velocity.
        start: Base points.
        path: Base of the log-lattice and settings of the training.
        settings: Number of steps and method.
        steering: What else acts on the way.

    Returns:
        The structures at t = 1.
    """
    base, steering = path.base, steering or Steering()
    noise, guidance, rules = steering.noise, steering.guidance, steering.rules
    numbers = start.atomic_numbers
    mask = numbers > 0
    seeded = bool(start.seeded.any())
    steps = settings.seeded_steps if seeded else settings.steps
    state = FlowState(start.frac_coords, start.z, numbers, start.seeded)
    guard = DivergenceGuard(state.z)
    dt = 1.0 / steps
    for k in range(steps):
        t = k * dt
        time = torch.full((len(numbers),), t, dtype=state.z.dtype, device=state.z.device)
        lattice, state.frac_coords = guard.sound(base.to_lattice(state.z, numbers), state.frac_coords)
        state.z = state.z.masked_fill(guard.failed.unsqueeze(1), 0.0)
        outputs = network(lattice, state.frac_coords, numbers, time, state.seeded)
        coords, z = velocities(outputs, state, path)
        if guidance is not None:
            extra_coords, extra_z = guidance(state, lattice, time)
            coords, z = coords + remove_mean(extra_coords, mask), z + extra_z
        if rules is not None:
            coords, z = rules.steer(state.frac_coords, state.z, coords, z, t)
        # never further than the predicted end, which lies (steps - k) plain steps away
        gain = 1.0 if seeded else min(1.0 + settings.anti_annealing * t, float(steps - k))
        frac = state.frac_coords + dt * gain * coords
        z_next = state.z + dt * z
        if settings.method == "sde" and noise is not None and not seeded and k + 1 < steps:
            ends = state.frac_coords + (1.0 - t) * coords, state.z + (1.0 - t) * z
            frac, z_next = _renewed(ends, (coords, z), t + dt, settings.churn, noise())
        if rules is not None:
            frac, z_next = rules.symmetric(frac, z_next)
        state = FlowState(frac - torch.floor(frac), z_next, numbers, state.seeded)
    return CrystalBatch(guard.marked(base.to_lattice(state.z, numbers)), state.frac_coords, numbers)


def _renewed(
    ends: tuple[Tensor, Tensor],
    moves: tuple[Tensor, Tensor],
    t: float,
    churn: float,
    fresh: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """The point at time t on another path to the predicted ends: part of the base noise drawn anew.

    Pairs are coordinates (B, N, 3) and log-lattice (B, 6).
    """
    (end, z_end), (coords, z_velocity), left = ends, moves, 1.0 - t
    keep = (1.0 - churn * churn) ** 0.5
    frac = end - left * (keep * coords + churn * 0.5 * fresh[0])
    # the Gaussian base of the lattice: x0 = end - velocity, renewed with its variance kept
    z0 = keep * (z_end - z_velocity) + churn * fresh[1]
    return frac, t * z_end + left * z0
