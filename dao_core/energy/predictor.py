"""DAO-P: energies, forces and stresses from one network, as a `Potential`.

The network's energy columns are: 0 energy above hull (z-scored), 1.. one formation energy per ensemble member, as a
residual over a linear model of the composition. Forces and stress are exact derivatives of the ensemble mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dao_core.crystal import Crystal, CrystalBatch
from dao_core.energy.potential import PotentialFailure, PotentialResult
from dao_core.hull.label import EnergyLabel
from dao_core.models.checkpoint_io import Checkpoint, load_checkpoint
from dao_core.models.geometry import full_precision
from dao_core.units import NEAR_HULL

N_MEMBERS = 4
N_ENERGIES = 1 + N_MEMBERS
MIN_SOURCE_ROWS = 50  # fewer near-stable rows give a source no correction
CLEAN_TIME = 1.0  # flow time of undisturbed structures; trained, unlike the published t = 0


@dataclass
class EnergyScale:
    """From network units to eV/atom.

    `baseline` (S, 101): linear composition model of each label source (row 0: the reference that predictions are given
    in); `residual_std` of formation energies around it; `hull_mean`, `hull_std` of energies above hull;
    `spread_factor`, `spread_floor`: calibration of the ensemble spread (see uncertainty.py).
    """

    baseline: NDArray[np.float64]
    sources: list[str]
    residual_std: float
    hull_mean: float
    hull_std: float
    spread_factor: float = 1.0
    spread_floor: float = 0.0

    @classmethod
    def fit(
        cls,
        fractions: NDArray[np.float64],
        formation: NDArray[np.float64],
        source: NDArray[np.int64],
        names: list[str],
        hull: NDArray[np.float64],
    ) -> EnergyScale:
        """Ridge fit of a shared composition model and, where it can be told apart, each source's own correction to it.

        Shapes: fractions (M, 101), formation, hull (M,) eV/atom with NaN where unknown, source (M,) index into names.
        A source's correction is fitted on its near-stable rows alone (known energy above hull below NEAR_HULL): on all
        rows, a source of unstable structures would get an offset that hides their instability from the network.
        """
        known = np.isfinite(formation)
        x, y, s = fractions[known], formation[known], source[known]
        shared = np.linalg.solve(x.T @ x + np.eye(101), x.T @ y)
        baseline = np.repeat(shared[None], len(names), axis=0)
        near = np.nan_to_num(hull[known], nan=np.inf) < NEAR_HULL
        zero = _source_residual(x, y - x @ shared, near & (s == 0))
        for k in range(1, len(names)):
            if zero is not None and (own := _source_residual(x, y - x @ shared, near & (s == k))) is not None:
                baseline[k] += own - zero
        residual = y - (x * baseline[s]).sum(1)
        hull = hull[np.isfinite(hull)]
        mean, std = (float(hull.mean()), float(hull.std())) if len(hull) else (0.0, 1.0)
        return cls(baseline, names, max(float(residual.std()), 1e-3), mean, max(std, 1e-3))

    def adapted(
        self, fractions: NDArray[np.float64], left: NDArray[np.float64], source: NDArray[np.int64], names: list[str]
    ) -> EnergyScale:
        """The same scale for other label sources: the reference row plus a correction an element for what is `left`.

        Shapes: fractions (M, 101), left (M,) label minus prediction in eV/atom, source (M,) index into names. A source
        of less than MIN_SOURCE_ROWS rows gets the correction of all rows.
        """
        rows = np.ones(len(left), dtype=bool)
        shared = _source_residual(fractions, left, rows, ridge=1.0)
        baseline = np.repeat(self.baseline[:1], len(names), axis=0)
        for k in range(len(names)):
            own = _source_residual(fractions, left, source == k, ridge=1.0)
            correction = shared if own is None else own
            baseline[k] += 0.0 if correction is None else correction
        return replace(self, baseline=baseline, sources=names)

    def state(self) -> dict[str, object]:
        """JSON form for a checkpoint's config."""
        return {**self.__dict__, "baseline": np.round(self.baseline, 6).tolist()}

    @classmethod
    def from_state(cls, state: dict[str, object]) -> EnergyScale:
        return cls(**{**state, "baseline": np.array(state["baseline"])})  # type: ignore[arg-type]


def _source_residual(
    x: NDArray[np.float64], residual: NDArray[np.float64], rows: NDArray[np.bool_], ridge: float = 10.0
) -> NDArray[np.float64] | None:
    """Composition model of what the shared one leaves over on some rows, (101,); None for too few rows."""
    if rows.sum() < MIN_SOURCE_ROWS:
        return None
    return np.asarray(np.linalg.solve(x[rows].T @ x[rows] + ridge * np.eye(x.shape[1]), x[rows].T @ residual[rows]))


def composition_fractions(atomic_numbers: Tensor) -> Tensor:
    """Share of each element, (B, N) -> (B, 101), padding left out."""
    mask = atomic_numbers > 0
    one_hot = torch.zeros(len(atomic_numbers), 101, dtype=torch.get_default_dtype(), device=mask.device)
    one_hot.scatter_add_(1, atomic_numbers, mask.to(one_hot.dtype))
    return one_hot / mask.sum(1, keepdim=True)


def strained(batch: CrystalBatch, strain: Tensor) -> Tensor:
    """Lattice under a symmetric strain, (B, 3, 3)."""
    symmetric = 0.5 * (strain + strain.transpose(1, 2))
    with full_precision(batch.lattice):
        return batch.lattice + batch.lattice @ symmetric


def residual_members(
    network: nn.Module, lattice: Tensor, frac_coords: Tensor, numbers: Tensor
) -> tuple[Tensor, Tensor]:
    """Clean-structure energies in network units: members (B, K) and the hull column (B,)."""
    t = torch.full((len(numbers),), CLEAN_TIME, dtype=lattice.dtype, device=lattice.device)
    energies = network(lattice, frac_coords, numbers, t).energies
    return energies[:, 1:], energies[:, 0]


def derivatives(
    energy: Tensor, frac_coords: Tensor, strain: Tensor, lattice: Tensor, *, create_graph: bool = False
) -> tuple[Tensor, Tensor]:
    """Forces (B, N, 3) in eV/A and stress (B, 3, 3) in eV/A^3 from total energies (B,) and the leaves they depend
    on."""
    d_frac, d_strain = torch.autograd.grad(energy.sum(), [frac_coords, strain], create_graph=create_graph)
    with full_precision(lattice):
        forces = -d_frac @ torch.linalg.inv(lattice).transpose(1, 2)  # x = f L, so dE/dx = dE/df L^-T
    volume = torch.linalg.det(lattice).abs().view(-1, 1, 1)
    return forces, 0.5 * (d_strain + d_strain.transpose(1, 2)) / volume


@dataclass
class Prediction:
    """Per structure: formation energy and its spread, energy above hull as the network reads it, all eV/atom."""

    formation_energy_per_atom: float
    std: float
    e_above_hull_direct: float


class DaoPotential:
    """A trained DAO-P behind the `Potential` protocol. Energies are total formation energies in eV."""

    def __init__(self, checkpoint: Checkpoint, *, dtype: torch.dtype = torch.float32, batch_pairs: int = 3_000) -> None:
        # 3,000 pairs (a dozen cells of 16 atoms) stay in a core's cache: a third faster than 20,000
        self.checkpoint = checkpoint
        self.network = checkpoint.network.to(dtype)
        for p in self.network.parameters():
            p.requires_grad_(False)
        self.identity = checkpoint.identity
        self.label = EnergyLabel(self.identity, "formation")
        self.scale = EnergyScale.from_state(checkpoint.config["energy_scale"])
        self.elements = set(checkpoint.config["elements"])
        self.dtype, self.batch_pairs = dtype, batch_pairs

    @classmethod
    def load(cls, directory: Path | str = "predictor", **options: object) -> DaoPotential:
        """Load a predictor checkpoint; `predictor` is the one that ships. Raises CheckpointError."""
        return cls(load_checkpoint(directory, kind="predictor"), **options)  # type: ignore[arg-type]

    def compute(self, crystals: Sequence[Crystal]) -> list[PotentialResult | PotentialFailure]:
        """Energy, forces and stress of each structure; one that cannot be computed fails alone."""
        out: list[PotentialResult | PotentialFailure | None] = [None] * len(crystals)
        usable = []
        for i, crystal in enumerate(crystals):
            unseen = set(crystal.atomic_numbers.tolist()) - self.elements
            if unseen:
                out[i] = PotentialFailure(f"element outside the training data: atomic numbers {sorted(unseen)}")
            else:
                usable.append(i)
        for rows in self._batches(crystals, usable):
            for i, result in zip(rows, self._batch([crystals[i] for i in rows]), strict=True):
                out[i] = result
        return [r for r in out if r is not None]

    def predict(self, crystals: Sequence[Crystal]) -> list[Prediction]:
        """Energies with spread, without derivatives (elements outside the training data are extrapolated)."""
        out: dict[int, Prediction] = {}
        for rows in self._batches(crystals, list(range(len(crystals)))):
            batch = CrystalBatch.from_crystals([crystals[i] for i in rows], dtype=self.dtype)
            with torch.inference_mode():
                members, hull = residual_members(self.network, batch.lattice, batch.frac_coords, batch.atomic_numbers)
            mean = members.mean(1) * self.scale.residual_std + self._baseline(batch.atomic_numbers)
            spread = members.std(1) * self.scale.residual_std * self.scale.spread_factor
            for i, e, s, h in zip(rows, mean.tolist(), spread.tolist(), hull.tolist(), strict=True):
                std = float(np.hypot(s, self.scale.spread_floor))
                out[i] = Prediction(e, std, max(0.0, h * self.scale.hull_std + self.scale.hull_mean))
        return [out[i] for i in range(len(crystals))]

    def _batches(self, crystals: Sequence[Crystal], rows: list[int]) -> list[list[int]]:
        batches: list[list[int]] = []
        for i in sorted(rows, key=lambda r: crystals[r].n_atoms):
            if batches and (len(batches[-1]) + 1) * crystals[i].n_atoms ** 2 <= self.batch_pairs:
                batches[-1].append(i)
            else:
                batches.append([i])
        return batches

    def _baseline(self, numbers: Tensor) -> Tensor:
        return composition_fractions(numbers).to(self.dtype) @ torch.as_tensor(self.scale.baseline[0], dtype=self.dtype)

    def _batch(self, crystals: Sequence[Crystal]) -> list[PotentialResult | PotentialFailure]:
        batch = CrystalBatch.from_crystals(crystals, dtype=self.dtype)
        frac = batch.frac_coords.clone().requires_grad_(True)
        strain = torch.zeros_like(batch.lattice).requires_grad_(True)
        members, _ = residual_members(self.network, strained(batch, strain), frac, batch.atomic_numbers)
        per_atom = members.mean(1) * self.scale.residual_std + self._baseline(batch.atomic_numbers)
        energy = per_atom * batch.n_atoms
        forces, stress = derivatives(energy, frac, strain, batch.lattice)
        out: list[PotentialResult | PotentialFailure] = []
        for i, crystal in enumerate(crystals):
            f = forces[i, : crystal.n_atoms].double().numpy()
            f = f - f.mean(0)  # the energy is translation invariant: what is left is rounding
            e, s = float(energy[i].detach()), stress[i].double().numpy()
            finite = np.isfinite(e) and np.isfinite(f).all() and np.isfinite(s).all()
            out.append(PotentialResult(e, f, s) if finite else PotentialFailure("the network returned NaN"))
        return out
