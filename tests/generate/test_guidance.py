"""Guidance: it lowers the energy it follows, acts only in its window and never pushes without bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dao_core.crystal import CrystalBatch
from dao_core.generate.diffusion import STEPS, alpha_bar, sample_diffusion
from dao_core.generate.flow_matching import FlowPath, FlowSettings, base_sample
from dao_core.generate.guidance import (
    DiffusionGuidance,
    EnergyGuidance,
    GuidanceError,
    GuidanceSettings,
    guidance_for,
    lowest_drawn,
)
from dao_core.generate.integrate import SamplerSettings, Steering, integrate
from dao_core.generate.sampler import Proposal
from dao_core.models.checkpoint_io import Checkpoint
from dao_core.models.geometry import cell_volume
from dao_core.models.heads import Outputs
from dao_core.models.lattice_base import LatticeBase
from tests.helpers.networks import random_crystals


class VolumeEnergy(torch.nn.Module):
    """Energy that grows with the volume; flow velocities are zero."""

    def forward(self, lattice, frac, numbers, t, seeded=None):  # noqa: ARG002
        energy = cell_volume(lattice).log().unsqueeze(-1) + 0.0 * frac.sum((1, 2)).unsqueeze(-1)
        return Outputs(torch.zeros_like(frac), lattice, lattice.new_zeros(len(t), 6), energy, frac)


def test_guided_samples_have_lower_energy() -> None:
    crystals = random_crystals(1, (3, 3, 4))
    base, batch = LatticeBase.fit(crystals), CrystalBatch.from_crystals(crystals)
    start = base_sample(batch.atomic_numbers, torch.Generator().manual_seed(0))
    network, settings = VolumeEnergy(), SamplerSettings(steps=20)
    guidance = EnergyGuidance(network, base, GuidanceSettings(scale=5.0))
    path = FlowPath(base, FlowSettings())
    plain = integrate(network, start, path, settings)
    guided = integrate(network, start, path, settings, Steering(guidance=guidance))
    assert (cell_volume(guided.lattice) < cell_volume(plain.lattice)).all()


def test_nothing_happens_outside_the_window_and_steps_are_bounded() -> None:
    crystals = random_crystals(1, (3,))
    base, batch = LatticeBase.fit(crystals), CrystalBatch.from_crystals(crystals)
    state = base_sample(batch.atomic_numbers, torch.Generator().manual_seed(0))
    guidance = EnergyGuidance(VolumeEnergy(), base, GuidanceSettings(scale=1e6, window=(0.4, 0.6), clip=0.5))
    assert guidance(state, batch.lattice, torch.tensor([0.1]))[1].abs().max() == 0
    assert guidance(state, batch.lattice, torch.tensor([0.5]))[1].abs().max() == 0.5


class CellEnergy(torch.nn.Module):
    """Exact denoiser of unit Gaussian cells; its energy grows with the distance from a cube of 4 angstrom."""

    def forward(self, lattice, frac, numbers, t, seeded=None):  # noqa: ARG002
        energy = (lattice - 4 * torch.eye(3)).square().sum((1, 2)).unsqueeze(-1) + 0.0 * frac.sum((1, 2)).unsqueeze(-1)
        spread = (1 - alpha_bar()[(t * STEPS).round().long()]).sqrt().view(-1, 1, 1)
        return Outputs(torch.zeros_like(frac), spread * torch.eye(3), lattice.new_zeros(len(t), 6), energy, frac)


def test_guided_diffusion_goes_downhill() -> None:
    numbers = torch.ones(8, 2, dtype=torch.long)
    guide = DiffusionGuidance(CellEnergy(), GuidanceSettings(scale=0.5, window=(0.0, 1.0)))

    def energy(guidance: DiffusionGuidance | None) -> torch.Tensor:
        streams = [np.random.default_rng(s) for s in range(len(numbers))]
        found = sample_diffusion(CellEnergy(), numbers, streams, steps=100, guidance=guidance)
        return (found.lattice - 4 * torch.eye(3)).square().sum((1, 2))

    plain, guided = energy(None), energy(guide)
    assert plain.mean() == pytest.approx(9 + 3 * 16, rel=0.3)  # the denoiser alone gives unit Gaussian cells
    assert (guided < 0.8 * plain).all()


def test_diffusion_guidance_has_a_window_and_a_bound() -> None:
    state = (torch.randn(1, 3, 3), torch.rand(1, 2, 3), torch.ones(1, 2, dtype=torch.long))
    guide = DiffusionGuidance(CellEnergy(), GuidanceSettings(scale=1e6, window=(0.4, 0.6), clip=0.5))
    assert guide(*state, 0.9)[1].abs().max() == 0
    assert guide(*state, 0.5)[1].abs().max() == 10.0


def test_a_guide_of_the_other_process_is_refused(tmp_path: Path) -> None:
    base, settings = LatticeBase.fit(random_crystals(1, (3, 3))), GuidanceSettings()
    for process, kind in (("flow", EnergyGuidance), ("diffusion", DiffusionGuidance)):
        guide = Checkpoint(CellEnergy(), "predictor", {"energy": {"process": process}}, tmp_path)
        assert isinstance(guidance_for(process, guide, base, settings), kind)
    with pytest.raises(GuidanceError, match=r"energies along a diffusion: train DAO-P with energy: \{process: flow\}"):
        guidance_for("flow", guide, base, settings)
    old = Checkpoint(CellEnergy(), "predictor", {}, tmp_path)  # before the setting existed there was only the flow
    assert isinstance(guidance_for("flow", old, base, settings), EnergyGuidance)


def test_the_lowest_draws_are_kept_each_once_and_failures_last() -> None:
    big, small, other = random_crystals(3, (3, 3, 3))
    turned = small.replace(frac_coords=small.frac_coords + 0.25)  # the same crystal in another place
    failed = Proposal(None, "de novo", 4, "model", "diverged")
    drawn = [failed] + [Proposal(c, "de novo", i, "model") for i, c in enumerate((big, small, turned, other))]
    worth = {id(big): 3.0, id(small): 1.0, id(turned): 1.0, id(other): 2.0}

    def energies(crystals):
        return [worth[id(c)] for c in crystals]

    assert [p.seed for p in lowest_drawn(drawn, 3, energies)] == [1, 3, 0]
    assert [p.seed for p in lowest_drawn(drawn, 9, energies)] == [1, 3, 0, 2, 4]
    assert lowest_drawn([failed], 2, energies) == [failed]
