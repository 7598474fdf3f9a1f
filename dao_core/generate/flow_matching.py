"""Flow matching on torus coordinates and the log-lattice, from an uninformed base or from a template.

Follows the published family (FlowMM, Miller et al. 2024; CrystalFlow, Luo et al. 2024): straight geodesic paths on
the flat torus with the centre-of-mass velocity removed, straight paths in the standardised log-lattice. t = 0 is the
base, 1 the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from dao_core.crystal import CrystalBatch
from dao_core.generate.assignment import assign_batch
from dao_core.models.geometry import wrap_centered
from dao_core.models.heads import Outputs, masked_mean
from dao_core.models.lattice_base import LatticeBase
from dao_core.models.noise import normal, uniform

COORD_SCALE = 0.2  # typical size of a geodesic displacement after assignment; the network predicts in this unit
SEED_SCALE = 0.05  # the same for trajectories that start at a template


class FlowSettings(BaseModel):
    """Settings of the path that are fixed at training time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    assign: bool = Field(True, description="per-species optimal assignment of base to data")
    seeded_share: float = Field(0.5, ge=0, le=1, description="share of training trajectories that start near the data")
    seed_coord_noise: float = Field(0.01, ge=0, description="jitter added to a template, fractional")
    seed_lattice_noise: float = Field(0.02, ge=0, description="noise on the log-lattice, added to a template")
    synthetic_coord_noise: float = Field(0.08, ge=0, description="displacement of a made-up template, fractional")
    synthetic_lattice_noise: float = Field(0.06, ge=0, description="strain of a made-up template, log units")


@dataclass
class FlowState:
    """A point of the trajectory: `frac_coords` (B, N, 3), `z` (B, 6) standardised log-lattice, `seeded` (B,)."""

    frac_coords: Tensor
    z: Tensor
    atomic_numbers: Tensor
    seeded: Tensor


@dataclass(frozen=True)
class FlowPath:
    """What defines the path between base and data: the base of the log-lattice and the settings of the training."""

    base: LatticeBase
    settings: FlowSettings


@dataclass(frozen=True)
class Seeds:
    """Templates of a training batch.

    `seeded` (B,) says which trajectories start near the data, `has_template` (B,) which of those have a retrieved
    `template`; the others start from one that is made up.
    """

    seeded: Tensor
    has_template: Tensor
    template: CrystalBatch | None = None


def remove_mean(velocity: Tensor, mask: Tensor) -> Tensor:
    """Subtract the centre-of-mass velocity, so that a rigid translation costs nothing.

    Args:
        velocity: (B, N, 3), fractional units.
        mask: (B, N), true for atoms.

    Returns:
        (B, N, 3).
    """
    return (velocity - masked_mean(velocity, mask).unsqueeze(1)) * mask.unsqueeze(-1).to(velocity.dtype)


def coord_unit(seeded: Tensor) -> Tensor:
    """Size of one unit of the network's coordinate output, (B, 1, 1)."""
    return torch.where(seeded > 0.5, SEED_SCALE, COORD_SCALE).view(-1, 1, 1)


def lattice_unit(seeded: Tensor, path: FlowPath) -> Tensor:
    """Size of one unit of the network's lattice output in z.

    Args:
        seeded: (B,), 1 where a path starts from a template, else 0.
        path: Settings of the paths.

    Returns:
        (B, 6).
    """
    small = path.settings.synthetic_lattice_noise / path.base.std.to(seeded)
    return torch.where(seeded.unsqueeze(-1) > 0.5, small, torch.ones_like(small))


def base_sample(atomic_numbers: Tensor, rng: torch.Generator) -> FlowState:
    """Start without knowledge: uniform coordinates, a unit Gaussian lattice.

    Args:
        atomic_numbers: (B, N), 0 is padding.
        rng: Source of noise.

    Returns:
        The state at time 0.
    """
    b, n = atomic_numbers.shape
    frac = uniform(b, n, 3, rng=rng, like=atomic_numbers)
    z = normal(b, 6, rng=rng, like=atomic_numbers)
    return FlowState(frac, z, atomic_numbers, torch.zeros(b, dtype=z.dtype, device=z.device))


def uninformed_start(data: CrystalBatch, rng: torch.Generator, *, assign: bool) -> FlowState:
    """Base points without knowledge for structures that a network is trained on.

    Args:
        data: The structures at the end of the paths.
        rng: Source of noise.
        assign: Whether like atoms of the base are interchanged so that the paths to the data are shortest.

    Returns:
        The state at time 0.
    """
    free = base_sample(data.atomic_numbers, rng)
    if assign:
        arrays = (free.frac_coords.double(), data.frac_coords.double(), data.atomic_numbers, data.lattice.double())
        assigned = assign_batch(*(a.cpu().numpy() for a in arrays))
        free.frac_coords = torch.as_tensor(assigned).to(data.frac_coords)
    return free


def seeded_sample(template: CrystalBatch, path: FlowPath, rng: torch.Generator) -> FlowState:
    """Start from templates with a little noise, so that equal templates give different samples.

    Args:
        template: B structures.
        path: Sizes of the noise.
        rng: Source of noise.

    Returns:
        The state at time 0.
    """
    base, settings = path.base, path.settings
    numbers = template.atomic_numbers
    b, n = numbers.shape
    frac = template.frac_coords + settings.seed_coord_noise * normal(b, n, 3, rng=rng, like=numbers)
    z = base.to_normal(template.lattice, numbers)
    z = z + settings.seed_lattice_noise / base.std.to(z) * normal(b, 6, rng=rng, like=numbers)
    return FlowState(frac, z, numbers, torch.ones(b, dtype=z.dtype, device=numbers.device))


def training_base(data: CrystalBatch, seeds: Seeds, path: FlowPath, rng: torch.Generator) -> FlowState:
    """Base points for a training batch: uninformed, or near the data where the seeds say so.

    Args:
        data: The structures at the end of the paths.
        seeds: Which trajectories start at a template, and at which.
        path: Base of the log-lattice and settings.
        rng: Source of all random numbers.
    """
    base, settings = path.base, path.settings
    seeded, has_template, template = seeds.seeded, seeds.has_template, seeds.template
    free = uninformed_start(data, rng, assign=settings.assign)
    b, n = data.atomic_numbers.shape
    size = settings.synthetic_coord_noise * uniform(b, 1, 1, rng=rng, like=data.lattice)
    near = CrystalBatch(
        data.lattice, data.frac_coords + size * normal(b, n, 3, rng=rng, like=data.lattice), data.atomic_numbers
    )
    if template is not None:
        pick = has_template.view(-1, 1, 1)
        near = CrystalBatch(
            torch.where(pick, template.lattice, near.lattice),
            torch.where(pick, template.frac_coords, near.frac_coords),
            data.atomic_numbers,
        )
    seed = seeded_sample(near, path, rng)
    strain = settings.synthetic_lattice_noise / base.std.to(seed.z) * normal(b, 6, rng=rng, like=data.lattice)
    seed.z = seed.z + torch.where(has_template.unsqueeze(-1), torch.zeros_like(strain), strain)
    return FlowState(
        torch.where(seeded.view(-1, 1, 1), seed.frac_coords, free.frac_coords),
        torch.where(seeded.unsqueeze(-1), seed.z, free.z),
        data.atomic_numbers,
        seeded.float(),
    )


def interpolate(start: FlowState, data: CrystalBatch, base: LatticeBase, t: Tensor) -> tuple[FlowState, Tensor, Tensor]:
    """Points on the straight paths from base to data.

    Args:
        start: State at time 0.
        data: Structures at time 1.
        base: Units of the lattice.
        t: (B,), in [0, 1].

    Returns:
        (state at t, velocities of the coordinates (B, N, 3) and of the lattices (B, 6) that the network learns).
    """
    mask = data.mask
    velocity = remove_mean(wrap_centered(data.frac_coords - start.frac_coords), mask)
    z_velocity = base.to_normal(data.lattice, data.atomic_numbers) - start.z
    frac = start.frac_coords + t.view(-1, 1, 1) * velocity
    point = FlowState(frac, start.z + t.unsqueeze(-1) * z_velocity, start.atomic_numbers, start.seeded)
    return point, velocity, z_velocity


def velocities(outputs: Outputs, state: FlowState, path: FlowPath) -> tuple[Tensor, Tensor]:
    """Network outputs as velocities.

    Args:
        outputs: Of the network.
        state: Where they were taken.
        path: Settings of the paths.

    Returns:
        Velocities of the coordinates (B, N, 3) in fractional units and of the lattices (B, 6) in z.
    """
    coords = remove_mean(outputs.coords, state.atomic_numbers > 0) * coord_unit(state.seeded).to(outputs.coords)
    return coords, outputs.lattice_log * lattice_unit(state.seeded, path).to(outputs.lattice_log)


def flow_loss(
    network: torch.nn.Module, start: FlowState, data: CrystalBatch, path: FlowPath, rng: torch.Generator
) -> dict[str, Tensor]:
    """Mean squared velocity errors, each trajectory in its own unit (coordinates per atom, lattice per component).

    Args:
        network: What is trained.
        start: Base points, as `training_base` makes them.
        data: The structures at the end of the paths.
        path: Base of the log-lattice and settings.
        rng: Source of the times.

    Returns:
        `loss` and its parts by name.
    """
    base = path.base
    t = uniform(len(data), rng=rng, like=data.lattice)
    point, velocity, z_velocity = interpolate(start, data, base, t)
    lattice = base.to_lattice(point.z, data.atomic_numbers)
    outputs = network(lattice, point.frac_coords, data.atomic_numbers, t, start.seeded)
    mask = data.mask
    target = velocity / coord_unit(start.seeded)
    z_target = z_velocity / lattice_unit(start.seeded, path)
    coords = remove_mean(outputs.coords, mask)
    # A wrong template must not outweigh all others: beyond a few units the squared error grows linearly.
    coord_error = torch.nn.functional.huber_loss(coords, target, reduction="none", delta=3.0).mean(-1)
    weight = mask.to(coord_error.dtype)
    coord_loss = (coord_error * weight).sum(1) / weight.sum(1)
    lattice_loss = torch.nn.functional.huber_loss(outputs.lattice_log, z_target, reduction="none", delta=3.0).mean(-1)
    return {
        "coords": coord_loss.mean(),
        "lattice": lattice_loss.mean(),
        "loss": coord_loss.mean() + lattice_loss.mean(),
    }
