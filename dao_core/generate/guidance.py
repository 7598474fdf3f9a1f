"""Energy-guided sampling: the flow is tilted towards low intermediate energy of DAO-P.

Method section 7: grad log p_t = grad log q_t - beta grad E_t. On a straight path x_t = (1 - t) x_0 + t x_1 with
Gaussian x_0
the velocity is v = (x + (1 - t) score) / t, so a change of the score by -beta grad E changes v by -beta (1 - t) / t
grad E,
times the variance of the base (1 for the standardised lattice, 1/12 for a uniform fractional coordinate).
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from dao_core.generate.flow_matching import FlowState
from dao_core.generate.lattice import LatticeBase

_COORD_VARIANCE = 1.0 / 12.0


class GuidanceSettings(BaseModel):
    """How strongly and when the energy steers. `scale` is beta in z-scored energy units (the paper uses 20)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: float = Field(1.0, ge=0)
    window: tuple[float, float] = Field((0.3, 0.95), description="flow times between which it acts")
    every: int = Field(1, ge=1, description="gradient every so many steps, then this much stronger")
    clip: float = Field(0.5, gt=0, description="largest change of a velocity component, in units of the base's spread")


class EnergyGuidance:
    """Additions to the flow velocities from the gradient of an energy network's first column."""

    def __init__(self, network: nn.Module, base: LatticeBase, settings: GuidanceSettings) -> None:
        self.network, self.base, self.settings = network, base, settings
        self.calls = 0

    def __call__(self, state: FlowState, lattice: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Velocity changes (B, N, 3) fractional and (B, 6) at a state, zero outside the window."""
        s, now = self.settings, float(t[0])
        self.calls += 1
        if not s.window[0] <= now <= s.window[1] or self.calls % s.every:
            return torch.zeros_like(state.frac_coords), torch.zeros_like(state.z)
        with torch.enable_grad():
            frac = state.frac_coords.detach().requires_grad_(True)
            z = state.z.detach().requires_grad_(True)
            out = self.network(self.base.to_lattice(z, state.atomic_numbers), frac, state.atomic_numbers, t)
            d_frac, d_z = torch.autograd.grad(out.energies[:, 0].sum(), [frac, z])
        strength = s.scale * s.every * (1 - now) / max(now, 0.05)
        limit = s.clip * _COORD_VARIANCE**0.5
        coords = (-strength * _COORD_VARIANCE * d_frac).clamp(-limit, limit)
        return torch.nan_to_num(coords), torch.nan_to_num((-strength * d_z).clamp(-s.clip, s.clip))
