"""The published diffusion: score, schedules, and sampling with the exact score of a single data point."""

from __future__ import annotations

import numpy as np
import torch

from dao_core.crystal import CrystalBatch
from dao_core.generate.diffusion import (
    STEPS,
    add_noise,
    alpha_bar,
    sample_diffusion,
    score_norms,
    sigmas,
    wrapped_normal_score,
)
from dao_core.models.build import build_network
from dao_core.models.config import CrysformerConfig
from dao_core.models.geometry import wrap_centered
from dao_core.models.heads import Outputs
from tests.helpers.networks import random_crystals


def test_score_is_the_gradient_of_the_log_density() -> None:
    x = torch.tensor([0.05, -0.31, 0.48, 0.7], dtype=torch.float64, requires_grad=True)
    for sigma in (0.05, 0.2, 0.5):
        k = torch.arange(-30, 31, dtype=torch.float64)
        log_density = torch.logsumexp(-((x.unsqueeze(-1) + k) ** 2) / (2 * sigma**2), dim=-1).sum()
        expected = torch.autograd.grad(log_density, x)[0]
        torch.testing.assert_close(wrapped_normal_score(x.detach(), torch.full_like(x, sigma)), expected)


def test_schedules_run_from_data_to_noise() -> None:
    assert alpha_bar()[0] == 1
    assert alpha_bar()[-1] < 1e-3
    assert (alpha_bar().diff() < 0).all()
    assert abs(float(sigmas()[1]) - 0.005) < 1e-6
    assert abs(float(sigmas()[STEPS]) - 0.5) < 1e-6
    # at small sigma nothing wraps: E|score|^2 = 1 / sigma^2
    torch.testing.assert_close(score_norms()[1] * sigmas()[1] ** 2, torch.tensor(1.0), rtol=0.01, atol=0)


class SinglePoint(torch.nn.Module):
    """The exact answer where the data set is one crystal."""

    def __init__(self, data: CrystalBatch) -> None:
        super().__init__()
        self.data = data

    def forward(self, lattice, frac, numbers, t):  # noqa: ARG002
        step = (t * STEPS).round().long()
        sigma = sigmas()[step].view(-1, 1, 1)
        delta = frac - self.data.frac_coords
        score = wrapped_normal_score(delta, sigma.expand_as(delta)) / score_norms()[step].sqrt().view(-1, 1, 1)
        abar = alpha_bar()[step].view(-1, 1, 1)
        noise = (lattice - abar.sqrt() * self.data.lattice) / (1 - abar).sqrt()
        return Outputs(score, noise @ torch.linalg.inv(lattice), lattice, lattice, frac)


def test_exact_score_samples_the_data_point() -> None:
    data = CrystalBatch.from_crystals(random_crystals(4, (3, 3)))
    streams = [np.random.default_rng(s) for s in range(len(data))]
    out = sample_diffusion(SinglePoint(data), data.atomic_numbers, streams, steps=200)
    assert wrap_centered(out.frac_coords - data.frac_coords).abs().max() < 0.02
    assert (out.lattice - data.lattice).abs().max() < 0.1


def test_noise_grows_with_the_step() -> None:
    data = CrystalBatch.from_crystals(random_crystals(4, (3,) * 64))
    rng = torch.Generator().manual_seed(0)
    small, _, _ = add_noise(data, torch.full((64,), 10), rng)
    large, _, _ = add_noise(data, torch.full((64,), 900), rng)
    distance = [wrap_centered(x.frac_coords - data.frac_coords).abs().mean() for x in (small, large)]
    assert distance[0] < 0.01 < 0.2 < distance[1]


def test_a_sample_is_the_same_alone_and_in_any_batch() -> None:
    torch.manual_seed(0)
    config = CrysformerConfig(width=16, n_blocks=1, n_heads=2, n_frequencies=2, time_dim=8)
    network = build_network(config)
    numbers = torch.tensor([[11, 17, 0, 0], [8, 8, 22, 38]])
    streams = [np.random.default_rng(s) for s in (1, 2)]
    both = sample_diffusion(network, numbers, streams, steps=5)
    alone = sample_diffusion(network, numbers[:1, :2], [np.random.default_rng(1)], steps=5)
    torch.testing.assert_close(both.lattice[:1], alone.lattice, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(both.frac_coords[:1, :2], alone.frac_coords, rtol=1e-4, atol=1e-4)
