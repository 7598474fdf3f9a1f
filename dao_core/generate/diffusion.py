"""The published diffusion: DDPM on the raw lattice and wrapped-normal scores on fractional coordinates.

Method sections 2 and 3; Jiao et al., NeurIPS 2023. Time runs from 1 (noise) to 0 (data) in T = 1000 steps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from dao_core.crystal import CrystalBatch
from dao_core.generate.divergence import DivergenceGuard
from dao_core.models.geometry import wrap_centered
from dao_core.models.noise import RowDraws, normal

DiffusionGuide = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]
STEPS = 1000
SIGMA_BEGIN, SIGMA_END = 0.005, 0.5
CORRECTOR_RATE = 1e-5  # step of the Langevin corrector, in units of (sigma / SIGMA_BEGIN)^2
_IMAGES = 10  # terms of the wrapped normal on each side


@lru_cache(maxsize=1)
def alpha_bar() -> Tensor:
    """Cumulative signal of the cosine schedule (s = 0.008), (T + 1,), index 0 is the data."""
    t = torch.arange(STEPS + 1, dtype=torch.float64) / STEPS
    f = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(1e-4, 0.999)
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - beta, 0)]).float()


@lru_cache(maxsize=1)
def sigmas() -> Tensor:
    """Width of the wrapped normal at each step, (T + 1,), exponential from 0.005 to 0.5; index 0 is zero."""
    grid = torch.exp(torch.linspace(math.log(SIGMA_BEGIN), math.log(SIGMA_END), STEPS, dtype=torch.float64))
    return torch.cat([torch.zeros(1, dtype=torch.float64), grid]).float()


def wrapped_normal_score(x: Tensor, sigma: Tensor) -> Tensor:
    """Score of a normal distribution wrapped to the unit interval: d/dx log sum_k exp(-(x + k)^2 / 2 sigma^2).

    Args:
        x: Fractional differences.
        sigma: Standard deviations, of a shape that broadcasts.

    Returns:
        Of the broadcast shape.
    """
    k = torch.arange(-_IMAGES, _IMAGES + 1, dtype=x.dtype, device=x.device)
    shifted = wrap_centered(x).unsqueeze(-1) + k
    variance = sigma.unsqueeze(-1) ** 2
    weight = torch.softmax(-shifted.square() / (2 * variance), dim=-1)
    return -(weight * shifted / variance).sum(-1)


@lru_cache(maxsize=1)
def score_norms() -> Tensor:
    """E|score|^2 of the wrapped normal at each step, (T + 1,), by 2,000 quantile samples."""
    u = (torch.arange(2_000, dtype=torch.float64) + 0.5) / 2_000
    normal = math.sqrt(2) * torch.erfinv(2 * u - 1)
    values = [torch.tensor(1.0, dtype=torch.float64)]
    values += [wrapped_normal_score(s * normal, s.expand(len(normal))).square().mean() for s in sigmas()[1:].double()]
    return torch.stack(values).float()


def diffusion_loss(network: nn.Module, data: CrystalBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """MSE of the lattice noise plus MSE of the normalised coordinate score, at one random step a structure.

    Args:
        network: Predicts both.
        data: Structures to learn from.
        rng: Source of steps and noise.

    Returns:
        The loss and its parts by name.
    """
    b = len(data)
    step = torch.randint(1, STEPS + 1, (b,), generator=rng)
    noisy, lattice_noise, score = add_noise(data, step, rng)
    outputs = network(noisy.lattice, noisy.frac_coords, data.atomic_numbers, step.to(noisy.lattice) / STEPS)
    predicted = outputs.lattice_matrix @ noisy.lattice
    mask = data.mask.to(score.dtype).unsqueeze(-1)
    coords = ((outputs.coords - score).square() * mask).sum((1, 2)) / (3 * mask.sum((1, 2)))
    lattice = (predicted - lattice_noise).square().mean((1, 2))
    return {"coords": coords.mean(), "lattice": lattice.mean(), "loss": coords.mean() + lattice.mean()}


def add_noise(data: CrystalBatch, step: Tensor, rng: torch.Generator) -> tuple[CrystalBatch, Tensor, Tensor]:
    """Structures at a step of the forward process.

    Args:
        data: B structures.
        step: (B,), from 1 to the number of steps.
        rng: Source of noise.

    Returns:
        (noisy structures, lattice noise (B, 3, 3), normalised coordinate score (B, N, 3)).
    """
    b, n = data.atomic_numbers.shape
    signal = alpha_bar()[step].view(-1, 1, 1).to(data.lattice)
    noise = normal(b, 3, 3, rng=rng, like=data.lattice)
    lattice = signal.sqrt() * data.lattice + (1 - signal).sqrt() * noise
    sigma = sigmas()[step].view(-1, 1, 1).to(data.lattice)
    shift = sigma * normal(b, n, 3, rng=rng, like=data.lattice)
    norm = score_norms()[step].sqrt().view(-1, 1, 1).to(data.lattice)
    score = wrapped_normal_score(shift, sigma.expand_as(shift)) / norm
    frac = data.frac_coords + shift
    return CrystalBatch(lattice, frac - torch.floor(frac), data.atomic_numbers), noise, score


@torch.no_grad()
def sample_diffusion(
    network: nn.Module,
    atomic_numbers: Tensor,
    streams: Sequence[np.random.Generator],
    *,
    steps: int = STEPS,
    guidance: DiffusionGuide | None = None,
) -> CrystalBatch:
    """Predictor-corrector sampling, two network calls a step.

    One Langevin corrector on the coordinates at the current noise, then the ancestral predictor on both. A sample that
    diverges ends with a lattice of NaN, the others as without it.

    Args:
        network: Predicts lattice noise and coordinate score.
        atomic_numbers: (B, N), 0 is padding.
        streams: Random numbers, one stream a structure: a sample is the same in any batch.
        steps: Fewer than 1000 stride the schedule.
        guidance: Gives beta dE/dF and beta dE/dL, by which the predictor's means move (times the posterior variance).

    Returns:
        The structures.
    """
    b = len(atomic_numbers)
    draws = RowDraws(streams, atomic_numbers)
    lattice, frac = draws.cells(), draws.positions()
    schedule = torch.linspace(STEPS, 0, steps + 1, dtype=torch.float32).round().long().tolist()
    abar, sigma, norms = alpha_bar(), sigmas(), score_norms()
    guard = DivergenceGuard(lattice)
    for now, then in itertools.pairwise(schedule):
        t = torch.full((b,), now / STEPS, dtype=torch.float32, device=atomic_numbers.device)
        lattice, frac = guard.sound(lattice, frac)
        # corrector
        out = network(lattice, frac, atomic_numbers, t)
        size = CORRECTOR_RATE * (sigma[now] / SIGMA_BEGIN) ** 2
        noise = draws.atoms() if then > 0 else torch.zeros_like(frac)
        frac = frac + size * out.coords * norms[now].sqrt() + (2 * size).sqrt() * noise
        # predictor
        lattice, frac = guard.sound(lattice, frac)
        out = network(lattice, frac, atomic_numbers, t)
        drop = sigma[now] ** 2 - sigma[then] ** 2
        noise = draws.atoms() if then > 0 else torch.zeros_like(frac)
        spread = (drop * sigma[then] ** 2 / sigma[now] ** 2).sqrt()
        zero = (torch.zeros_like(frac), torch.zeros_like(lattice))
        d_frac, d_lattice = zero if guidance is None else guidance(lattice, frac, atomic_numbers, now / STEPS)
        frac = frac + drop * out.coords * norms[now].sqrt() - spread**2 * d_frac + spread * noise
        frac = frac - torch.floor(frac)
        eps = out.lattice_matrix @ lattice
        ratio = abar[now] / abar[then]
        mean = (lattice - (1 - ratio) / (1 - abar[now]).sqrt() * eps) / ratio.sqrt()
        variance = (1 - ratio) * (1 - abar[then]) / (1 - abar[now])
        lattice = mean - variance * d_lattice + variance.sqrt() * (draws.cells() if then > 0 else 0.0)
    return CrystalBatch(guard.marked(lattice), frac, atomic_numbers)
