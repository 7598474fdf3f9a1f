"""What of a sample is given beforehand: part of its atoms, its lattice, or its space group.

The flow's end is then partly known. A known part follows the straight path to its end instead of the network's
velocity (the path that it would have had in training), and the network decides the rest around it. A space group is
kept by letting only symmetric velocities through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dao_core.crystal import Crystal
from dao_core.elements import SYMBOLS, atomic_number
from dao_core.generate.assignment import assign_to_data
from dao_core.generate.divergence import LARGEST
from dao_core.generate.symmetry.wyckoff_sites import SitePlan, averaged_lattice, plan_sites
from dao_core.models.geometry import wrap_centered

if TYPE_CHECKING:
    from dao_core.models.lattice_base import LatticeBase


class ConstraintError(ValueError):
    """A constraint that cannot be met, or not together with the formula; the message says why."""


@dataclass(frozen=True, eq=False)
class Constraint:
    """What a sample must keep: exactly one of the three is given.

    `framework`: atoms kept where they are in a lattice that is kept; `lattice` (3, 3): only the lattice; `spacegroup`:
    international number, of the primitive cell.
    """

    framework: Crystal | None = None
    lattice: NDArray[np.float64] | None = None
    spacegroup: int | None = None

    def __post_init__(self) -> None:
        if sum(x is not None for x in (self.framework, self.lattice, self.spacegroup)) != 1:
            raise ConstraintError("give one of: a framework, a lattice, a space group")
        if self.spacegroup is not None and not 1 <= self.spacegroup <= 230:
            raise ConstraintError(f"space group {self.spacegroup}: numbers go from 1 to 230")

    @property
    def cell(self) -> NDArray[np.float64] | None:
        """The lattice that is kept, if one is."""
        return self.lattice if self.framework is None else self.framework.lattice

    @property
    def n_kept(self) -> int:
        """Atoms that are kept; they come first in every sample."""
        return 0 if self.framework is None else self.framework.n_atoms

    def plan(self, atomic_numbers: NDArray[np.int64], seed: int) -> SitePlan | None:
        """Sites for the atoms of one sample, where a space group is kept.

        Args:
            atomic_numbers: (N,).
            seed: Of the sample.

        Returns:
            The sites, None where no group is kept.

        Raises:
            SitesError: The atoms fit on no sites of the group.
        """
        if self.spacegroup is None:
            return None
        return plan_sites(self.spacegroup, atomic_numbers, np.random.default_rng([seed, 1]))

    def numbers(self, composition: dict[str, int]) -> NDArray[np.int64]:
        """Atomic numbers of a cell's content, kept atoms first. Raises ConstraintError where they are too many."""
        counts = {atomic_number(s): n for s, n in composition.items()}
        kept = np.zeros(0, dtype=np.int64) if self.framework is None else self.framework.atomic_numbers
        for z in sorted(set(kept.tolist())):
            left = counts.get(z, 0) - int((kept == z).sum())
            if left < 0:
                raise ConstraintError(
                    f"the framework has {int((kept == z).sum())} {SYMBOLS[z]}, the cell {counts.get(z, 0)}: "
                    "give more formula units (--z), or keep fewer atoms (--keep)"
                )
            counts[z] = left
        rest = [np.full(n, z) for z, n in sorted(counts.items()) if n]
        return np.concatenate([kept, *rest]).astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Known:
    """One sample's known end in the cell that the network sees: reduced lattice, kept atoms in it, way back."""

    lattice: NDArray[np.float64] | None
    frac: NDArray[np.float64]
    transform: NDArray[np.float64]


def _known(constraint: Constraint | None) -> _Known:
    cell = None if constraint is None else constraint.cell
    if cell is None:
        return _Known(None, np.zeros((0, 3)), np.eye(3))
    from dao_core.crysdb.steps.standardise import niggli_reduce

    reduced, transforms, _ = niggli_reduce(cell[None])  # the network was trained on reduced cells
    transform = transforms[0].astype(float)
    kept = np.zeros((0, 3)) if constraint is None or constraint.framework is None else constraint.framework.frac_coords
    return _Known(reduced[0], kept @ np.linalg.inv(transform), transform)


class Rules:
    """The constraints of a batch of samples, as the integrator needs them."""

    def __init__(
        self,
        constraints: Sequence[Constraint | None],
        numbers: Tensor,
        base: LatticeBase,
        plans: Sequence[SitePlan | None],
    ) -> None:
        b, n = numbers.shape
        self.constraints, self.base, self.numbers = constraints, base, numbers
        self.known = [_known(c) for c in constraints]
        self.fixed = torch.zeros(b, n, dtype=torch.bool)
        self.end = torch.zeros(b, n, 3, dtype=torch.float32)
        self.cell_known = torch.tensor([k.lattice is not None for k in self.known])
        lattice = np.stack([np.eye(3) * 5 if k.lattice is None else k.lattice for k in self.known])
        self.end_z = base.to_normal(torch.as_tensor(lattice), numbers).float()
        self.plans = list(plans)
        for row, known in enumerate(self.known):
            kept = len(known.frac)
            self.fixed[row, :kept] = True
            self.end[row, :kept] = torch.as_tensor(known.frac, dtype=torch.float32)

    def start(self, frac: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Base points that fit: noise of kept atoms assigned to their ends, symmetric ones on their sites.

        Args:
            frac: (B, N, 3), fractional.
            z: (B, 6), lattices in units of the base.

        Returns:
            Both with the rules applied.
        """
        frac, z = frac.clone(), z.clone()
        for row, (known, plan) in enumerate(zip(self.known, self.plans, strict=True)):
            kept = len(known.frac)
            constraint = self.constraints[row]
            if kept and known.lattice is not None:
                noise = frac[row, :kept].double().numpy()
                near = assign_to_data(noise, known.frac, self.numbers[row, :kept].numpy(), known.lattice)
                frac[row, :kept] = torch.as_tensor(near, dtype=frac.dtype)
            if plan is not None and constraint is not None:  # without one the sites are those of a template, jittered
                frac[row, : plan.n_atoms] = torch.as_tensor(plan.start, dtype=frac.dtype)
        return self.symmetric(frac, z)

    def steer(self, frac: Tensor, z: Tensor, coords: Tensor, z_velocity: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """Velocities with the known ends in place of the predicted ones, and symmetric where a group is kept.

        The network knows velocities up to a common translation: it is chosen such that the kept atoms move as they
        must on average.

        Args:
            frac: Coordinates now, (B, N, 3), fractional.
            z: Lattices now, (B, 6).
            coords: Predicted velocities of the coordinates, (B, N, 3).
            z_velocity: Predicted velocities of the lattices, (B, 6).
            t: Time in [0, 1).

        Returns:
            The velocities to follow, in the shapes of the predicted ones.
        """
        left = 1.0 - t
        towards = wrap_centered(self.end - frac) / left
        share = self.fixed.unsqueeze(-1).to(coords.dtype)
        count = share.sum(1, keepdim=True).clamp_min(1.0)
        coords = coords + ((towards - coords) * share).sum(1, keepdim=True) / count
        coords = torch.where(self.fixed.unsqueeze(-1), towards, coords) * (self.numbers > 0).unsqueeze(-1)
        z_velocity = torch.where(self.cell_known.unsqueeze(-1), (self.end_z - z) / left, z_velocity)
        for row, plan in enumerate(self.plans):
            if plan is not None:
                moved = plan.symmetric_velocity(coords[row, : plan.n_atoms].double().numpy())
                coords[row, : plan.n_atoms] = torch.as_tensor(moved, dtype=coords.dtype)
        return coords, z_velocity

    def symmetric(self, frac: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Where a group is kept: atoms on their sites, and the lattice with its metric averaged over the group.

        Args:
            frac: (B, N, 3), fractional.
            z: (B, 6), lattices in units of the base.

        Returns:
            Both, other rows as they were.
        """
        frac, z = frac.clone(), z.clone()
        for row, plan in enumerate(self.plans):
            if plan is None:
                continue
            own = self.numbers[row : row + 1]
            lattice = self.base.to_lattice(z[row : row + 1], own)[0].double().numpy()
            if not (np.abs(lattice).max() < LARGEST and torch.isfinite(frac[row]).all()):
                continue  # diverged: the integrator marks it as failed
            exact = plan.exact(frac[row, : plan.n_atoms].double().numpy())
            frac[row, : plan.n_atoms] = torch.as_tensor(exact, dtype=frac.dtype)
            cell = torch.as_tensor(averaged_lattice(lattice, plan.rotations))[None]
            z[row] = self.base.to_normal(cell, own)[0].to(z.dtype)
        return frac, z

    def finish(self, row: int, crystal: Crystal) -> Crystal:
        """A sample with the given part put back exactly, in the setting in which it was given.

        Args:
            row: Of the batch.
            crystal: The sample.

        Returns:
            The finished structure.
        """
        constraint, known, plan = self.constraints[row], self.known[row], self.plans[row]
        if plan is not None:
            lattice = averaged_lattice(crystal.lattice, plan.rotations)
            return crystal.replace(lattice=lattice, frac_coords=plan.exact(crystal.frac_coords))
        if constraint is None or constraint.cell is None:
            return crystal
        frac = crystal.frac_coords @ known.transform
        if constraint.framework is not None:
            frac[: constraint.n_kept] = constraint.framework.frac_coords
        return crystal.replace(lattice=constraint.cell.copy(), frac_coords=frac)
