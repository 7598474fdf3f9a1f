"""Energy-guided sampling: flow and diffusion are tilted towards low intermediate energy of DAO-P, and of several
samples those of lowest energy are kept.

Method section 7: grad log p_t = grad log q_t - beta grad E_t. On a straight path x_t = (1 - t) x_0 + t x_1 with
Gaussian x_0 the velocity is v = (x + (1 - t) score) / t, so a change of the score by -beta grad E changes v by
-beta (1 - t) / t grad E, times the variance of the base (1 for the standardised lattice, 1/12 for a uniform fractional
coordinate). In diffusion the means of the predictor step move by -beta times the posterior variance times dE/dF and
dE/dL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dao_core.crystal import Crystal
from dao_core.generate.distinct_samples import repeats
from dao_core.generate.flow_matching import FlowState
from dao_core.generate.guidance_settings import GuidanceSettings
from dao_core.generate.sampler import Proposal
from dao_core.models.checkpoint_io import Checkpoint
from dao_core.models.lattice_base import LatticeBase

_COORD_VARIANCE = 1.0 / 12.0


class GuidanceError(ValueError):
    """A guide that was trained on another process than the generator's; the message says what to train."""


class EnergyGuidance:
    """Additions to the flow velocities from the gradient of an energy network's first column."""

    def __init__(self, network: nn.Module, base: LatticeBase, settings: GuidanceSettings) -> None:
        self.network, self.base, self.settings = network, base, settings
        self.calls = 0

    def __call__(self, state: FlowState, lattice: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Velocity changes (B, N, 3) fractional and (B, 6) at a state, zero outside the window."""
        s, now = self.settings, float(t[0])
        self.calls = 1 if now == 0.0 else self.calls + 1  # a trajectory counts its own steps
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


class DiffusionGuidance:
    """Energy gradients for the predictor step of `sample_diffusion`; the window is in flow time (1: clean)."""

    def __init__(self, network: nn.Module, settings: GuidanceSettings) -> None:
        self.network, self.settings = network, settings

    def __call__(self, lattice: Tensor, frac: Tensor, numbers: Tensor, time: float) -> tuple[Tensor, Tensor]:
        """Gradients beta dE/dF (B, N, 3) and beta dE/dL (B, 3, 3) at `time` (1: noise), zero outside the window.

        A component is clipped at `clip / 0.05`: with the largest posterior variance of a step it moves by few units.
        """
        s, now = self.settings, 1.0 - time
        if not s.window[0] <= now <= s.window[1]:
            return torch.zeros_like(frac), torch.zeros_like(lattice)
        with torch.enable_grad():
            f, cell = frac.detach().requires_grad_(True), lattice.detach().requires_grad_(True)
            t = torch.full((len(numbers),), now, dtype=lattice.dtype, device=lattice.device)
            energy = self.network(cell, f, numbers, t).energies[:, 0].sum()
            d_frac, d_lattice = torch.autograd.grad(energy, [f, cell])
        limit = s.clip / 0.05
        return (
            torch.nan_to_num((s.scale * d_frac).clamp(-limit, limit)),
            torch.nan_to_num((s.scale * d_lattice).clamp(-limit, limit)),
        )


def guidance_for(
    process: str, guide: Checkpoint, base: LatticeBase, settings: GuidanceSettings
) -> EnergyGuidance | DiffusionGuidance:
    """The guidance that fits a generator's process.

    Args:
        process: "flow" or "diffusion".
        guide: A DAO-P that has learned intermediate energies.
        base: Units of the lattice.
        settings: Strength and schedule.

    Returns:
        The guidance.

    Raises:
        GuidanceError: DAO-P learned its intermediate energies on the other process: they belong to its noise.
    """
    trained = dict(guide.config.get("energy", {})).get("process", "flow")
    if trained != process:
        raise GuidanceError(
            f"the generator is a {process}, {guide.path} knows energies along a {trained}: train DAO-P with "
            f"energy: {{process: {process}}}"
        )
    if process == "diffusion":
        return DiffusionGuidance(guide.network, settings)
    return EnergyGuidance(guide.network, base, settings)


def lowest_drawn(
    drawn: Sequence[Proposal], n: int, energies: Callable[[Sequence[Crystal]], Sequence[float]]
) -> list[Proposal]:
    """Of the draws of one cell content, those of lowest energy: different structures first, failures last.

    Args:
        drawn: Samples with the same atoms.
        n: How many are kept.
        energies: By which they are chosen, the lower the better.

    Returns:
        At most n of them, best first.
    """
    there = [p for p in drawn if p.crystal is not None]
    known = energies([p.crystal for p in there if p.crystal is not None])
    there = [there[i] for i in sorted(range(len(there)), key=lambda i: known[i])]
    again = repeats([p.crystal for p in there])
    ordered = [p for wanted in (False, True) for p, repeat in zip(there, again, strict=True) if repeat == wanted]
    return (ordered + [p for p in drawn if p.crystal is None])[:n]
