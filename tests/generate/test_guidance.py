"""Guidance: it lowers the energy it follows, acts only in its window and never pushes without bound."""

from __future__ import annotations

import torch

from dao_core.crystal import CrystalBatch
from dao_core.generate.flow_matching import FlowSettings, base_sample
from dao_core.generate.guidance import EnergyGuidance, GuidanceSettings
from dao_core.generate.integrate import SamplerSettings, integrate
from dao_core.generate.lattice import LatticeBase
from dao_core.models.geometry import cell_volume
from dao_core.models.heads import Outputs
from tests.models.conftest import random_crystals


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
    plain = integrate(network, start, base, FlowSettings(), settings)
    guided = integrate(network, start, base, FlowSettings(), settings, guidance=guidance)
    assert (cell_volume(guided.lattice) < cell_volume(plain.lattice)).all()


def test_nothing_happens_outside_the_window_and_steps_are_bounded() -> None:
    crystals = random_crystals(1, (3,))
    base, batch = LatticeBase.fit(crystals), CrystalBatch.from_crystals(crystals)
    state = base_sample(batch.atomic_numbers, torch.Generator().manual_seed(0))
    guidance = EnergyGuidance(VolumeEnergy(), base, GuidanceSettings(scale=1e6, window=(0.4, 0.6), clip=0.5))
    assert guidance(state, batch.lattice, torch.tensor([0.1]))[1].abs().max() == 0
    assert guidance(state, batch.lattice, torch.tensor([0.5]))[1].abs().max() == 0.5
