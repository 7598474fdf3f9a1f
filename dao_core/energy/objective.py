"""DAO-P's training loss: hybrid diffusion + exponential energy on noisy structures, energies and derivatives on clean
ones.

Method section 4. On the same noisy M_t: flow losses plus MSE(exp(-E(M_t, t)), exp(-y)), whose optimum is the exact
intermediate energy -log E[exp(-E_0) | M_t]. Unlike the published predictor, clean structures are trained too, with
forces and stresses wherever they are labelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from dao_core.crystal import CrystalBatch
from dao_core.energy.predictor import derivatives, residual_members, strained
from dao_core.energy.scale import EnergyScale, composition_fractions
from dao_core.generate.diffusion import STEPS, add_noise
from dao_core.generate.flow_matching import COORD_SCALE, interpolate, remove_mean, uninformed_start
from dao_core.models.heads import Outputs
from dao_core.models.lattice_base import LatticeBase
from dao_core.models.noise import uniform

# Errors above these count linearly: labels of several sources have outliers, and what is judged is the mean error.
_SMALL_ENERGY, _SMALL_FORCE, _SMALL_STRESS = 0.1, 0.1, 0.01  # network units, eV/angstrom, eV/angstrom^3


class EnergySettings(BaseModel):
    """Weights of the terms; each can be switched off for an ablation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    noisy_share: float = Field(0.25, ge=0, le=1, description="share of each batch that is disturbed by the flow")
    process: Literal["flow", "diffusion"] = Field("flow", description="whose noise disturbs them: the generator's")
    assign: bool = Field(
        True,
        description="per-species assignment of the flow's base to the data, as the generator's `flow.assign`; "
        "checkpoints that don't say were trained without",
    )
    exponential: bool = Field(True, description="exponential energy loss on noisy structures; false: plain MSE")
    clean: bool = Field(True, description="train undisturbed structures (t = 0 of the paper)")
    forces: bool = Field(True, description="train forces and stresses where labelled")
    force_weight: float = Field(1.0, ge=0)
    stress_weight: float = Field(6.0, ge=0, description="per eV/A^3")
    hull_weight: float = Field(0.3, ge=0)


class Batch(Protocol):
    """What the loss needs of a training batch (see `dao_core.training.packed`)."""

    crystals: CrystalBatch
    labels: dict[str, Tensor]
    rows: Tensor


def exponential_loss(energy: Tensor, label: Tensor) -> Tensor:
    """MSE of exp(-E): flat for high energies, steep for low ones; bounded so that one bad start cannot explode.

    Args:
        energy: Predicted, (B,), z-scored.
        label: Wanted, (B,), z-scored.

    Returns:
        A scalar. Its optimum over many labels of one input is -log of the mean of exp(-label).
    """
    return (torch.exp(-energy.clamp(-4.0, 10.0)) - torch.exp(-label.clamp(-4.0, 10.0))).square().mean()


@dataclass
class LabelledBatch:
    """Structures with their labels (NaN where unknown) and their row numbers in the training set."""

    crystals: CrystalBatch
    labels: dict[str, Tensor]
    rows: Tensor

    def take(self, rows: Tensor) -> LabelledBatch:
        """Some structures.

        Args:
            rows: A mask (B,) or numbers (B',).
        """
        c = self.crystals
        chosen = CrystalBatch(c.lattice[rows], c.frac_coords[rows], c.atomic_numbers[rows])
        return LabelledBatch(chosen, {k: v[rows] for k, v in self.labels.items()}, self.rows[rows])


class EnergyObjective:
    """Loss over labelled batches: e_above_hull, formation_energy_per_atom, source, forces, stress; NaN is unknown."""

    def __init__(self, settings: EnergySettings, scale: EnergyScale, base: LatticeBase) -> None:
        """Take what turns labels into what the network learns.

        Args:
            settings: Weights of the terms.
            scale: From eV/atom to network units.
            base: Distribution from which the flow's noise comes.
        """
        self.settings, self.scale, self.base = settings, scale, base
        self.baseline = torch.as_tensor(scale.baseline, dtype=torch.float32)

    def __call__(self, network: nn.Module, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The terms of the loss.

        Args:
            network: A predictor's network.
            batch: Structures with labels.
            rng: Random numbers of this step.

        Returns:
            "loss", to be minimised, and its parts, named after what they measure.
        """
        crystals = batch.crystals
        data = LabelledBatch(crystals, batch.labels, batch.rows.to(crystals.lattice.device))
        s = self.settings
        share = s.noisy_share if s.clean else 1.0
        noisy = uniform(len(crystals), rng=rng, like=crystals.lattice) < share
        if s.clean:  # frames off equilibrium are no ends of a flow: they have no energy above the hull
            noisy &= torch.isfinite(data.labels["e_above_hull"])
        # zero, but with a gradient: a batch may hold nothing but structures without labels
        losses: dict[str, Tensor] = {"loss": 0.0 * next(network.parameters()).sum()}
        if noisy.any():
            self._noisy(network, data.take(noisy), rng, losses)
        if (~noisy).any() and s.clean:
            self._clean(network, data.take(~noisy), losses)
        return losses

    def hull_label(self, labels: dict[str, Tensor]) -> Tensor:
        """z-scored energy above hull (B,), NaN where unknown."""
        return (labels["e_above_hull"] - self.scale.hull_mean) / self.scale.hull_std

    def _noisy(self, network: nn.Module, data: LabelledBatch, rng: torch.Generator, losses: dict[str, Tensor]) -> None:
        disturbed = self._along_diffusion if self.settings.process == "diffusion" else self._along_flow
        out, losses["flow"] = disturbed(network, data.crystals, rng)
        losses["loss"] = losses["loss"] + 0.2 * losses["flow"]
        y = self.hull_label(data.labels)
        known = torch.isfinite(y)
        if known.any():
            energy, label = out.energies[known, 0], y[known]
            losses["noisy"] = (
                exponential_loss(energy, label) if self.settings.exponential else F.mse_loss(energy, label)
            )
            losses["loss"] = losses["loss"] + self.settings.hull_weight * losses["noisy"]

    def _along_flow(self, network: nn.Module, data: CrystalBatch, rng: torch.Generator) -> tuple[Outputs, Tensor]:
        """Outputs on points of the flow, and the loss of their velocities."""
        start = uninformed_start(data, rng, assign=self.settings.assign)
        t = uniform(len(data), rng=rng, like=data.lattice)
        point, velocity, z_velocity = interpolate(start, data, self.base, t)
        out = network(self.base.to_lattice(point.z, data.atomic_numbers), point.frac_coords, data.atomic_numbers, t)
        mask = data.mask.unsqueeze(-1).to(velocity.dtype)
        coords = ((remove_mean(out.coords, data.mask) - velocity / COORD_SCALE).square() * mask).sum() / (
            3 * mask.sum()
        )
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

    def _clean(self, network: nn.Module, data: LabelledBatch, losses: dict[str, Tensor]) -> None:
        with_forces = torch.zeros(len(data.rows), dtype=torch.bool, device=data.rows.device)
        if self.settings.forces and "forces" in data.labels:
            with_forces = torch.isfinite(data.labels["forces"]).all(dim=(1, 2))
        plain = data.take(~with_forces)
        parts = []
        if len(plain.rows):
            c = plain.crystals
            parts.append(residual_members(network, c.lattice, c.frac_coords, c.atomic_numbers))
        if with_forces.any():
            parts.append(self._derivative_losses(network, data.take(with_forces), losses))
        order = torch.cat([(~with_forces).nonzero().squeeze(1), with_forces.nonzero().squeeze(1)])
        members, hull = (torch.cat(p) for p in zip(*parts, strict=True))
        self._energy_losses(members, hull, data.take(order), losses)

    def _energy_losses(self, members: Tensor, hull: Tensor, data: LabelledBatch, losses: dict[str, Tensor]) -> None:
        """Losses of formation energies `members` (B, K) and of energies above hull `hull` (B,)."""
        labels = data.labels
        baseline = self.baseline.to(members.device)
        base = (composition_fractions(data.crystals.atomic_numbers).float() * baseline[labels["source"].long()]).sum(1)
        target = (labels["formation_energy_per_atom"] - base) / self.scale.residual_std
        known = torch.isfinite(target)
        if known.any():
            wanted = target[known].unsqueeze(1).expand(-1, members.shape[1])
            error = F.smooth_l1_loss(members[known], wanted, reduction="none", beta=_SMALL_ENERGY)
            weight = bootstrap_weights(data.rows[known], members.shape[1])
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
        self, network: nn.Module, data: LabelledBatch, losses: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Losses of forces and stresses; the members and the hull column of the same evaluation."""
        c = data.crystals
        frac = c.frac_coords.clone().requires_grad_(True)
        strain = torch.zeros_like(c.lattice).requires_grad_(True)
        members, hull = residual_members(network, strained(c, strain), frac, c.atomic_numbers)
        total = members.mean(1) * self.scale.residual_std * c.n_atoms
        forces, stress = derivatives(total, frac, strain, c.lattice, create_graph=True)
        mask = c.mask.unsqueeze(-1).to(forces.dtype)
        error = F.smooth_l1_loss(forces, data.labels["forces"], reduction="none", beta=_SMALL_FORCE)
        losses["forces"] = (error * mask).sum() / (3 * mask.sum())
        with torch.no_grad():
            losses["force_mae_eV_A"] = ((forces - data.labels["forces"]).abs() * mask).sum() / (3 * mask.sum())
        losses["loss"] = losses["loss"] + self.settings.force_weight * losses["forces"]
        want = data.labels["stress"]
        known = torch.isfinite(want).all(dim=(1, 2))
        if known.any():
            error = F.smooth_l1_loss(stress[known], want[known], beta=_SMALL_STRESS)
            losses["stress"] = error * self.settings.stress_weight
            losses["loss"] = losses["loss"] + losses["stress"]
        return members, hull


def bootstrap_weights(rows: Tensor, n_members: int) -> Tensor:
    """Poisson(1)-like weights that depend on the row alone: each member sees its own resampling of the data.

    Args:
        rows: Row numbers in the training set, (B,).
        n_members: Size K of the ensemble.

    Returns:
        (B, K).
    """
    member = torch.arange(n_members, device=rows.device)
    mixed = (rows.unsqueeze(1) * 2654435761 + (member + 1) * 40503 * 65537) % 1000003
    u = mixed.double() / 1000003
    limits = u.new_tensor([0.3679, 0.7358, 0.9197, 0.9810])  # Poisson(1) distribution function
    return (u.unsqueeze(-1) > limits).sum(-1).float()
