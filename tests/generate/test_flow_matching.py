"""Flow matching: paths, assignment, and an oracle network that must be integrated exactly to the data."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from dao_core.crystal import CrystalBatch
from dao_core.generate.assignment import assign_to_data
from dao_core.generate.flow_matching import (
    COORD_SCALE,
    FlowPath,
    FlowSettings,
    Seeds,
    base_sample,
    flow_loss,
    interpolate,
    training_base,
)
from dao_core.generate.integrate import SamplerSettings, Steering, integrate
from dao_core.models.geometry import wrap_centered
from dao_core.models.heads import Outputs, masked_mean
from dao_core.models.lattice_base import LatticeBase
from tests.helpers.networks import random_crystals


@pytest.fixture
def data() -> CrystalBatch:
    return CrystalBatch.from_crystals(random_crystals(0, (2, 4, 4)))


@pytest.fixture
def base() -> LatticeBase:
    return LatticeBase.fit(random_crystals(9, (2, 3, 4, 5, 6)))


class Oracle(torch.nn.Module):
    """Knows the answer: returns the exact velocity towards one data batch."""

    def __init__(self, data: CrystalBatch, base: LatticeBase) -> None:
        super().__init__()
        self.data, self.z1 = data, base.to_normal(data.lattice, data.atomic_numbers)
        self.base = base

    def forward(self, lattice, frac, numbers, t, seeded):  # noqa: ARG002
        left = (1 - t).clamp_min(1e-6)
        delta = wrap_centered(self.data.frac_coords - frac)
        z = self.base.to_normal(lattice, numbers)
        coords = delta / left.view(-1, 1, 1) / COORD_SCALE
        return Outputs(coords, lattice, (self.z1 - z) / left.unsqueeze(-1), lattice.new_zeros(len(t), 0), frac)


def test_path_ends_at_the_data_up_to_a_translation(data: CrystalBatch, base: LatticeBase) -> None:
    start = base_sample(data.atomic_numbers, torch.Generator().manual_seed(0))
    point, velocity, _ = interpolate(start, data, base, torch.ones(len(data)))
    torch.testing.assert_close(point.z, base.to_normal(data.lattice, data.atomic_numbers), rtol=1e-4, atol=1e-4)
    assert masked_mean(velocity, data.mask).abs().max() < 1e-6
    delta = wrap_centered(point.frac_coords - data.frac_coords)
    spread = wrap_centered(delta - delta[:, :1])[data.mask]
    assert spread.abs().max() < 1e-5


def test_assignment_is_the_best_permutation_of_like_atoms() -> None:
    rng = np.random.default_rng(0)
    base, data, lattice = rng.random((4, 3)), rng.random((4, 3)), np.diag([3.0, 5.0, 9.0])
    numbers = np.array([8, 8, 8, 22])

    def cost(points: np.ndarray) -> float:
        delta = data - points
        delta -= np.round(delta)
        return float(np.square(delta @ lattice).sum())

    best = min(cost(base[[*p, 3]]) for p in itertools.permutations(range(3)))
    assigned = assign_to_data(base, data, numbers, lattice)
    assert cost(assigned) == pytest.approx(best)
    np.testing.assert_array_equal(assigned[3], base[3])


@pytest.mark.parametrize("method", ["ode", "sde"])
def test_exact_velocities_lead_to_the_data(data: CrystalBatch, base: LatticeBase, method: str) -> None:
    rng = torch.Generator().manual_seed(3)
    start = base_sample(data.atomic_numbers, rng)
    b, n = data.atomic_numbers.shape

    def noise() -> tuple[torch.Tensor, torch.Tensor]:
        return torch.rand(b, n, 3, generator=rng) - 0.5, torch.randn(b, 6, generator=rng)

    settings = SamplerSettings(steps=20, anti_annealing=3.0, method=method)
    out = integrate(Oracle(data, base), start, FlowPath(base, FlowSettings()), settings, Steering(noise))
    torch.testing.assert_close(
        torch.linalg.det(out.lattice), torch.linalg.det(data.lattice).abs(), rtol=1e-3, atol=1e-3
    )
    delta = wrap_centered(out.frac_coords - data.frac_coords)
    spread = wrap_centered(delta - delta[:, :1])[data.mask]
    assert spread.abs().max() < 1e-3


def test_retrieved_templates_are_the_base_where_there_is_one(data: CrystalBatch, base: LatticeBase) -> None:
    template = CrystalBatch(data.lattice * 1.1, data.frac_coords + 0.01, data.atomic_numbers)
    settings = FlowSettings(seed_coord_noise=0.0, seed_lattice_noise=0.0)
    has = torch.tensor([True, False, True])
    everyone = torch.ones(3, dtype=torch.bool)
    start = training_base(
        data, Seeds(everyone, has, template), FlowPath(base, settings), torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(start.frac_coords[0], template.frac_coords[0])
    torch.testing.assert_close(start.z[2], base.to_normal(template.lattice, data.atomic_numbers)[2])
    assert not torch.allclose(start.frac_coords[1], data.frac_coords[1] + 0.01)


def test_loss_of_the_right_answer_is_zero(data: CrystalBatch, base: LatticeBase) -> None:
    rng = torch.Generator().manual_seed(0)
    start = base_sample(data.atomic_numbers, rng)
    losses = flow_loss(Oracle(data, base), start, data, FlowPath(base, FlowSettings()), rng)
    assert losses["lattice"] < 1e-4
    # the network sees the point, not its start: a geodesic that was folded at the start may fold differently later
    assert losses["coords"] >= 0
