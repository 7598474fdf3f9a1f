"""DAO-P's training loss: hybrid diffusion + exponential energy on noisy structures, energies and derivatives on clean
ones.

Method section 4. On the same noisy M_t: flow losses plus MSE(exp(-E(M_t, t)), exp(-y)), whose optimum is the exact
intermediate energy -log E[exp(-E_0) | M_t]. Unlike the published predictor, clean structures are trained too, with
forces and stresses wherever they are labelled.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from dao_core.crystal import CrystalBatch
from dao_core.energy.predictor import (
    EnergyScale,
    composition_fractions,
    derivatives,
    residual_members,
    strained,
)
from dao_core.generate.diffusion import STEPS, add_noise
from dao_core.generate.flow_matching import base_sample, interpolate, remove_mean
from dao_core.models.heads import Outputs
from dao_core.models.lattice_base import LatticeBase
from dao_core.models.noise import uniform


class EnergySettings(BaseModel):
    """Weights of the terms; each can be switched off for an ablation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    noisy_share: float = Field(0.25, ge=0, le=1, description="share of each batch that is disturbed by the flow")
    process: Literal["flow", "diffusion"] = Field("flow", description="whose noise disturbs them: the generator's")
    exponential: bool = Field(True, description="exponential energy loss on noisy structures; false: plain MSE")
    clean: bool = Field(True, description="train undisturbed structures (t = 0 of the paper)")
    forces: bool = Field(True, description="train forces and stresses where labelled")
    force_weight: float = Field(1.0, ge=0)
    stress_weight: float = Field(20.0, ge=0, description="per eV/A^3")
    hull_weight: float = Field(0.3, ge=0)


def subset(batch: CrystalBatch, rows: Tensor) -> CrystalBatch:
    """Some structures of a batch."""
    return CrystalBatch(batch.lattice[rows], batch.frac_coords[rows], batch.atomic_numbers[rows])


def exponential_loss(energy: Tensor, label: Tensor) -> Tensor:
    """MSE of exp(-E): flat for high energies, steep for low ones; bounded so that one bad start cannot explode."""
    return (torch.exp(-energy.clamp(-4.0, 10.0)) - torch.exp(-label.clamp(-4.0, 10.0))).square().mean()


class EnergyObjective:
    """Callable loss over batches with labels e_above_hull, formation_energy_per_atom, source, forces, stress (NaN:
    unknown)."""

    def __init__(self, settings: EnergySettings, scale: EnergyScale, base: LatticeBase) -> None:
        self.settings, self.scale, self.base = settings, scale, base
        self.baseline = torch.as_tensor(scale.baseline, dtype=torch.float32)

    def __call__(self, network: nn.Module, batch: object, rng: torch.Generator) -> dict[str, Tensor]:
        crystals, labels = batch.crystals, batch.labels  # type: ignore[attr-defined]
        rows = batch.rows.to(crystals.lattice.device)  # type: ignore[attr-defined]
        s = self.settings
        share = s.noisy_share if s.clean else 1.0
        noisy = uniform(len(crystals), rng=rng, like=crystals.lattice) < share
        # zero, but with a gradient: a batch may hold nothing but structures without labels
        losses: dict[str, Tensor] = {"loss": 0.0 * next(network.parameters()).sum()}
        if noisy.any():
            self._noisy(network, subset(crystals, noisy), {k: v[noisy] for k, v in labels.items()}, rng, losses)
        if (~noisy).any() and s.clean:
            self._clean(network, crystals, labels, rows, ~noisy, losses)
        return losses

    def hull_label(self, labels: dict[str, Tensor]) -> Tensor:
        """z-scored energy above hull, NaN where unknown."""
        return (labels["e_above_hull"] - self.scale.hull_mean) / self.scale.hull_std

    def _noisy(
        self,
        network: nn.Module,
        data: CrystalBatch,
        labels: dict[str, Tensor],
        rng: torch.Generator,
        losses: dict[str, Tensor],
    ) -> None:
        disturbed = self._along_diffusion if self.settings.process == "diffusion" else self._along_flow
        out, losses["flow"] = disturbed(network, data, rng)
        losses["loss"] = losses["loss"] + 0.2 * losses["flow"]
        y = self.hull_label(labels)
        known = torch.isfinite(y)
        if known.any():
            energy, label = out.energies[known, 0], y[known]
            losses["noisy"] = (
                exponential_loss(energy, label) if self.settings.exponential else F.mse_loss(energy, label)
            )
            losses["loss"] = losses["loss"] + self.settings.hull_weight * losses["noisy"]

    def _along_flow(self, network: nn.Module, data: CrystalBatch, rng: torch.Generator) -> tuple[Outputs, Tensor]:
        """Outputs on points of the flow, and the loss of their velocities."""
        start = base_sample(data.atomic_numbers, rng)
        t = uniform(len(data), rng=rng, like=data.lattice)
        point, velocity, z_velocity = interpolate(start, data, self.base, t)
        out = network(self.base.to_lattice(point.z, data.atomic_numbers), point.frac_coords, data.atomic_numbers, t)
        mask = data.mask.unsqueeze(-1).to(velocity.dtype)
        coords = ((remove_mean(out.coords, data.mask) - velocity / 0.2).square() * mask).sum() / (3 * mask.sum())
        return out, coords + (out.lattice_log - z_velocity).square().mean()

    def _along_diffusion(self, network: nn.Module, data: CrystalBatch, rng: torch.Generator) -> tuple[Outputs, Tensor]:
        """Outputs on diffused structures (time 1 is clean here too), and the loss of noise and score."""
        step = torch.randint(1, STEPS + 1, (len(data),), generator=rng)
        noisy, noise, score = add_noise(data, step, rng)
        t = 1.0 - step.to(noisy.lattice) / STEPS
        out = network(noisy.lattice, noisy.frac_coords, data.atomic_numbers, t)
        mask = data.mask.unsqueeze(-1).to(score.dtype)
        coords = ((out.coords - score).square() * mask).sum() / (3 * mask.sum())
        return out, coords + (out.lattice_matrix @ noisy.lattice - noise).square().mean()

    def _clean(
        self,
        network: nn.Module,
        crystals: CrystalBatch,
        labels: dict[str, Tensor],
        rows: Tensor,
        clean: Tensor,
        losses: dict[str, Tensor],
    ) -> None:
        with_forces = (
            torch.isfinite(labels["forces"]).all(dim=(1, 2)) if "forces" in labels else torch.zeros_like(clean)
        )
        with_forces &= clean if self.settings.forces else torch.zeros_like(clean)
        plain = clean & ~with_forces
        parts = []
        if plain.any():
            data = subset(crystals, plain)
            members, hull = residual_members(network, data.lattice, data.frac_coords, data.atomic_numbers)
            parts.append((members, hull, plain))
        if with_forces.any():
            parts.append(self._derivative_losses(network, subset(crystals, with_forces), labels, with_forces, losses))
        members = torch.cat([p[0] for p in parts])
        hull = torch.cat([p[1] for p in parts])
        index = torch.cat([p[2].nonzero().squeeze(1) for p in parts])
        self._energy_losses(
            members, hull, crystals.atomic_numbers[index], {k: v[index] for k, v in labels.items()}, rows[index], losses
        )

    def _energy_losses(
        self,
        members: Tensor,
        hull: Tensor,
        numbers: Tensor,
        labels: dict[str, Tensor],
        rows: Tensor,
        losses: dict[str, Tensor],
    ) -> None:
        label = labels["formation_energy_per_atom"]
        baseline = self.baseline.to(label.device)
        base = (composition_fractions(numbers).float() * baseline[labels["source"].long()]).sum(1)
        target = (label - base) / self.scale.residual_std
        known = torch.isfinite(target)
        if known.any():
            error = F.huber_loss(
                members[known], target[known].unsqueeze(1).expand(-1, members.shape[1]), reduction="none", delta=0.5
            )
            weight = bootstrap_weights(rows[known], members.shape[1])
            losses["energy"] = (error * weight).sum() / weight.sum().clamp_min(1.0)
            with torch.no_grad():
                miss = (members[known].mean(1) - target[known]).abs() * self.scale.residual_std
                losses["energy_mae_eV"] = miss.mean()
            losses["loss"] = losses["loss"] + 2.0 * losses["energy"]
        y = self.hull_label(labels)
        seen = torch.isfinite(y)
        if seen.any():
            losses["hull"] = F.huber_loss(hull[seen], y[seen]) + 0.3 * exponential_loss(hull[seen], y[seen])
            losses["loss"] = losses["loss"] + self.settings.hull_weight * losses["hull"]

    def _derivative_losses(
        self, network: nn.Module, data: CrystalBatch, labels: dict[str, Tensor], rows: Tensor, losses: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        frac = data.frac_coords.clone().requires_grad_(True)
        strain = torch.zeros_like(data.lattice).requires_grad_(True)
        members, hull = residual_members(network, strained(data, strain), frac, data.atomic_numbers)
        total = members.mean(1) * self.scale.residual_std * data.n_atoms
        forces, stress = derivatives(total, frac, strain, data.lattice, create_graph=True)
        mask = data.mask.unsqueeze(-1).to(forces.dtype)
        error = F.huber_loss(forces, labels["forces"][rows], reduction="none", delta=0.5)
        losses["forces"] = (error * mask).sum() / (3 * mask.sum())
        with torch.no_grad():
            losses["force_mae_eV_A"] = ((forces - labels["forces"][rows]).abs() * mask).sum() / (3 * mask.sum())
        losses["loss"] = losses["loss"] + self.settings.force_weight * losses["forces"]
        want = labels["stress"][rows]
        known = torch.isfinite(want).all(dim=(1, 2))
        if known.any():
            losses["stress"] = F.huber_loss(stress[known], want[known], delta=0.05) * self.settings.stress_weight
            losses["loss"] = losses["loss"] + losses["stress"]
        return members, hull, rows


def bootstrap_weights(rows: Tensor, n_members: int) -> Tensor:
    """Poisson(1)-like weights that depend on the row alone, (B, K): each member sees its own resampling of the data."""
    member = torch.arange(n_members, device=rows.device)
    mixed = (rows.unsqueeze(1) * 2654435761 + (member + 1) * 40503 * 65537) % 1000003
    u = mixed.double() / 1000003
    limits = u.new_tensor([0.3679, 0.7358, 0.9197, 0.9810])  # Poisson(1) distribution function
    return (u.unsqueeze(-1) > limits).sum(-1).float()
