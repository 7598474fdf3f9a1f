"""Integrating the trained flow from base to data: ODE (Euler with anti-annealing) and a stochastic variant."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from dao_core.crystal import CrystalBatch
from dao_core.generate.flow_matching import FlowSettings, FlowState, remove_mean, velocities
from dao_core.generate.lattice import LatticeBase

if TYPE_CHECKING:
    from dao_core.generate.constraints import Rules

Guidance = Callable[[FlowState, Tensor, Tensor], tuple[Tensor, Tensor]]


class SamplerSettings(BaseModel):
    """Settings of sampling; nothing here needs a new training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(50, gt=0, description="network evaluations from an uninformed base")
    seeded_steps: int = Field(10, gt=0, description="network evaluations from a template")
    anti_annealing: float = Field(5.0, ge=0, description="coordinate velocity is multiplied by 1 + this * t")
    method: Literal["ode", "sde"] = "ode"
    churn: float = Field(0.3, ge=0, le=1, description="sde: share of the remaining noise that is drawn anew each step")


@torch.no_grad()
def integrate(
    network: nn.Module,
    start: FlowState,
    base: LatticeBase,
    flow: FlowSettings,
    settings: SamplerSettings,
    *,
    noise: Callable[[], tuple[Tensor, Tensor]] | None = None,
    guidance: Guidance | None = None,
    rules: Rules | None = None,
) -> CrystalBatch:
    """Follow the flow from t = 0 to 1.

    `noise` gives fresh base noise (coordinates (B, N, 3) in [-0.5, 0.5), lattice (B, 6)) for the stochastic sampler;
    `guidance` returns additions to the velocities at (state, lattice, t); `rules` keeps what is given beforehand.
    """
    numbers = start.atomic_numbers
    mask = numbers > 0
    seeded = bool(start.seeded.any())
    steps = settings.seeded_steps if seeded else settings.steps
    state = FlowState(start.frac_coords, start.z, numbers, start.seeded)
    dt = 1.0 / steps
    for k in range(steps):
        t = k * dt
        time = torch.full((len(numbers),), t, dtype=state.z.dtype)
        lattice = base.to_lattice(state.z, numbers)
        outputs = network(lattice, state.frac_coords, numbers, time, state.seeded)
        coords, z = velocities(outputs, state, base, flow)
        if guidance is not None:
            extra_coords, extra_z = guidance(state, lattice, time)
            coords, z = coords + remove_mean(extra_coords, mask), z + extra_z
        if rules is not None:
            coords, z = rules.steer(state.frac_coords, state.z, coords, z, t)
        # never further than the predicted end, which lies (steps - k) plain steps away
        gain = 1.0 if seeded else min(1.0 + settings.anti_annealing * t, float(steps - k))
        frac = state.frac_coords + dt * gain * coords
        z_next = state.z + dt * z
        if settings.method == "sde" and noise is not None and k + 1 < steps:
            frac, z_next = _renew_noise(frac, z_next, t + dt, coords, z, settings.churn, noise())
        if rules is not None:
            frac, z_next = rules.symmetric(frac, z_next)
        state = FlowState(frac - torch.floor(frac), z_next, numbers, state.seeded)
    return CrystalBatch(base.to_lattice(state.z, numbers), state.frac_coords, numbers)


def _renew_noise(
    frac: Tensor, z: Tensor, t: float, coords: Tensor, z_velocity: Tensor, churn: float, fresh: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Replace part of the base noise that is left at time t: the point moves to another path to the same predicted
    end."""
    left = 1.0 - t
    end, z_end = frac + left * coords, z + left * z_velocity
    keep = (1.0 - churn * churn) ** 0.5
    frac = end - left * (keep * coords + churn * 0.5 * fresh[0])
    # the Gaussian base of the lattice: x0 = end - velocity, renewed with its variance kept
    z0 = keep * (z_end - z_velocity) + churn * fresh[1]
    return frac, t * z_end + left * z0
