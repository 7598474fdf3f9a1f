"""DAO-P: energies, forces and stresses from one network, as a `Potential`.

The network's energy columns are: 0 energy above hull (z-scored), 1.. one formation energy per ensemble member, as a
residual over a linear model of the composition. Forces and stress are exact derivatives of the ensemble mean.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from dao_core.crystal import Crystal, CrystalBatch
from dao_core.energy.domain import TrainedDomain
from dao_core.energy.error_model import error_features, load_error_model
from dao_core.energy.potential import Outcome, PotentialFailure, PotentialResult, checked
from dao_core.energy.scale import EnergyScale, composition_fractions
from dao_core.hull.label import EnergyLabel
from dao_core.models.checkpoint_io import Checkpoint, load_checkpoint, named_faults
from dao_core.models.compact import compact_cells, sees_all_neighbors
from dao_core.models.geometry import full_precision
from dao_core.models.heads import Outputs

N_MEMBERS = 4
N_ENERGIES = 1 + N_MEMBERS
CLEAN_TIME = 1.0  # flow time of undisturbed structures; trained, unlike the published t = 0
BATCH_PAIRS = {"cpu": 3_000, "cuda": 200_000}  # a dozen cells of 16 atoms stay in a core's cache: a third faster


def strained(batch: CrystalBatch, strain: Tensor) -> Tensor:
    """Lattice under a symmetric strain.

    Args:
        batch: Structures.
        strain: (B, 3, 3); only its symmetric part counts.

    Returns:
        Lattices, (B, 3, 3) in angstrom.
    """
    symmetric = 0.5 * (strain + strain.transpose(1, 2))
    with full_precision(batch.lattice):
        return batch.lattice + batch.lattice @ symmetric


def residual_members(
    network: nn.Module, lattice: Tensor, frac_coords: Tensor, numbers: Tensor
) -> tuple[Tensor, Tensor]:
    """Energies of undisturbed structures in network units.

    Args:
        network: A predictor's network.
        lattice: (B, 3, 3) in angstrom.
        frac_coords: (B, N, 3).
        numbers: Atomic numbers, (B, N), 0 is padding.

    Returns:
        The members' formation energies (B, K), and the column of the energy above hull (B,).
    """
    energies = undisturbed(network, lattice, frac_coords, numbers).energies
    return energies[:, 1:], energies[:, 0]


def undisturbed(network: nn.Module, lattice: Tensor, frac_coords: Tensor, numbers: Tensor) -> Outputs:
    """All that a network says of structures at the time of undisturbed ones.

    Args:
        network: A predictor's or a property's.
        lattice: (B, 3, 3) in angstrom.
        frac_coords: (B, N, 3).
        numbers: Atomic numbers, (B, N), 0 is padding.
    """
    t = torch.full((len(numbers),), CLEAN_TIME, dtype=lattice.dtype, device=lattice.device)
    outputs: Outputs = network(lattice, frac_coords, numbers, t)
    return outputs


def derivatives(
    energy: Tensor, frac_coords: Tensor, strain: Tensor, lattice: Tensor, *, create_graph: bool = False
) -> tuple[Tensor, Tensor]:
    """Exact derivatives of energies.

    Args:
        energy: Total energies (B,) in eV.
        frac_coords: The leaf of the positions, (B, N, 3).
        strain: The leaf of the strain, (B, 3, 3).
        lattice: (B, 3, 3) in angstrom, unstrained.
        create_graph: Whether the result is to be differentiated again.

    Returns:
        Forces (B, N, 3) in eV/angstrom and stress (B, 3, 3) in eV/angstrom^3.
    """
    d_frac, d_strain = torch.autograd.grad(energy.sum(), [frac_coords, strain], create_graph=create_graph)
    with full_precision(lattice):
        forces = -d_frac @ torch.linalg.inv(lattice).transpose(1, 2)  # x = f L, so dE/dx = dE/df L^-T
    volume = torch.linalg.det(lattice).abs().view(-1, 1, 1)
    return forces, 0.5 * (d_strain + d_strain.transpose(1, 2)) / volume


@dataclass
class Prediction:
    """Per structure: formation energy and its spread, energy above hull as the network reads it, all eV/atom.

    NaN where the structure's cell is too flat or skewed to find all neighbours, even when it is reduced.
    """

    formation_energy_per_atom: float
    std: float
    e_above_hull_direct: float


@dataclass
class Reading:
    """A batch as the network reads it.

    Attributes:
        members: Formation energies of the ensemble's members in eV/atom, (B, K).
        above_hull: Energy above hull in eV/atom, (B,).
        features: Of the error model, (B, F).
    """

    members: Tensor
    above_hull: Tensor
    features: Tensor


class DaoPotential:
    """A trained DAO-P behind the `Potential` protocol. Energies are total formation energies in eV.

    It computes on a copy of the checkpoint's network, on one device and in one precision; the checkpoint stays its own.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Copy the network to where it will run.

        Args:
            checkpoint: A predictor.
            device: Where it runs; a GPU where there is one if None.
            dtype: Precision of everything it computes.

        Raises:
            CheckpointError: The checkpoint's configuration lacks what a predictor needs.
        """
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = dtype
        self.checkpoint = checkpoint
        self.network = copy.deepcopy(checkpoint.network).to(self.device, dtype).requires_grad_(False)
        config = getattr(checkpoint.network, "config", None)
        self.cutoff: float | None = getattr(config, "cutoff", None)  # angstrom; None: it looks at no images
        self.identity = checkpoint.identity
        self.label = EnergyLabel(self.identity, "formation")
        with named_faults(checkpoint.path):
            self.scale = EnergyScale.from_state(checkpoint.config["energy_scale"])
            self.elements = set(checkpoint.config["elements"])
            domain = checkpoint.config.get("domain")  # checkpoints of b90917e and before know only their elements
            self.domain = None if domain is None else TrainedDomain.from_state(domain)
        found = load_error_model(checkpoint)
        self.error_model = None if found is None else found.to(self.device, dtype).requires_grad_(False)
        self.batch_pairs = BATCH_PAIRS.get(self.device.type, 3_000)

    @classmethod
    def load(
        cls,
        directory: Path | str = "predictor",
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> DaoPotential:
        """Load a predictor checkpoint.

        Args:
            directory: Its folder; `predictor` is the one that ships.
            device: Where it runs; a GPU where there is one if None.
            dtype: Precision.

        Returns:
            The potential.

        Raises:
            CheckpointError: The checkpoint is missing, damaged or no predictor.
        """
        return cls(load_checkpoint(directory, kind="predictor"), device=device, dtype=dtype)

    def compute(self, crystals: Sequence[Crystal]) -> list[Outcome]:
        """Energy, forces and stress of each structure.

        Args:
            crystals: Structures of any size in any cell; they are batched by size.

        Returns:
            One outcome for each, in order; one that cannot be computed fails alone.
        """
        out: dict[int, Outcome] = {}
        cells, seen = self._compact(crystals)
        for i, (crystal, sees_all) in enumerate(zip(crystals, seen, strict=True)):
            unseen = set(crystal.atomic_numbers.tolist()) - self.elements
            if unseen:
                out[i] = PotentialFailure(f"element outside the training data: atomic numbers {sorted(unseen)}")
            elif not sees_all:
                out[i] = PotentialFailure(f"too flat or skewed a cell to find all neighbours within {self.cutoff} A")
        usable = [i for i in range(len(crystals)) if i not in out]
        for rows in size_batches([cells[i] for i in usable], self.batch_pairs):
            chosen = [usable[r] for r in rows]
            out |= dict(zip(chosen, self._outcomes([cells[i] for i in chosen]), strict=True))
        return [out[i] for i in range(len(crystals))]

    def predict(self, crystals: Sequence[Crystal]) -> list[Prediction]:
        """Energies with their spread, without derivatives.

        Args:
            crystals: Structures; elements outside the training data are extrapolated.

        Returns:
            One prediction for each, in order.
        """
        cells, seen = self._compact(crystals)
        out = {i: Prediction(math.nan, math.nan, math.nan) for i, sees_all in enumerate(seen) if not sees_all}
        usable = [i for i in range(len(crystals)) if i not in out]
        for batch in size_batches([cells[i] for i in usable], self.batch_pairs):
            rows = [usable[r] for r in batch]
            read = self.read([cells[i] for i in rows])
            if self.error_model is None:
                spread = read.members.std(1)
            else:
                with torch.inference_mode():
                    spread = self.error_model(read.features)
            spread = torch.hypot(spread * self.scale.spread_factor, spread.new_tensor(self.scale.spread_floor))
            energies = read.members.mean(1).tolist()
            for i, e, s, h in zip(rows, energies, spread.tolist(), read.above_hull.tolist(), strict=True):
                out[i] = Prediction(e, s, max(h, 0.0))  # in this order NaN stays NaN
        return [out[i] for i in range(len(crystals))]

    def cautious_energies(self, crystals: Sequence[Crystal]) -> list[float]:
        """What an unrelaxed structure is chosen by among others of its composition.

        Args:
            crystals: Structures as they were drawn.

        Returns:
            Formation energy plus its spread in eV/atom; infinite outside the trained domain, and where there is none.
        """
        inside = [self.outside(c) is None for c in crystals]
        totals = [p.formation_energy_per_atom + p.std for p in self.predict(crystals)]
        return [e if ok and math.isfinite(e) else math.inf for e, ok in zip(totals, inside, strict=True)]

    def read(self, crystals: Sequence[Crystal]) -> Reading:
        """What the network says of a batch, before its spread is calibrated.

        Args:
            crystals: Structures of like size in any cell.

        Returns:
            Energies of the members, energy above hull and the features of the error model.
        """
        batch = self._batch(self._compact(crystals)[0])
        numbers = batch.atomic_numbers
        with torch.inference_mode():
            outputs = undisturbed(self.network, batch.lattice, batch.frac_coords, numbers)
            members = outputs.energies[:, 1:] * self.scale.residual_std + self._baseline(numbers).unsqueeze(1)
            above = outputs.energies[:, 0] * self.scale.hull_std + self.scale.hull_mean
            return Reading(members, above, error_features(outputs.atoms, numbers > 0, members))

    def outside(self, crystal: Crystal) -> str | None:
        """Why a structure lies outside what the network was trained on, where its energy means little.

        Args:
            crystal: Any structure.

        Returns:
            The reason, for people; None inside, and where the checkpoint does not know.
        """
        return None if self.domain is None else self.domain.outside(crystal)

    @property
    def phonon_refusal(self) -> str | None:
        """Why its forces make no phonons; None for a checkpoint that has passed a test of them."""
        if self.checkpoint.config.get("phonons_tested"):
            return None
        return f"{self.identity} gives crystals false imaginary modes: name other forces, --phonon-potential sevennet"

    def evaluate(self, batch: CrystalBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Energies and their derivatives as tensors, on the device of the potential.

        Args:
            batch: Structures on that device, in cells in which all neighbours are seen (`dao_core.models.compact`).

        Returns:
            Total formation energies (B,) in eV, forces (B, N, 3) in eV/angstrom, stress (B, 3, 3) in eV/angstrom^3.
        """
        frac = batch.frac_coords.clone().requires_grad_(True)
        strain = torch.zeros_like(batch.lattice).requires_grad_(True)
        members, _ = residual_members(self.network, strained(batch, strain), frac, batch.atomic_numbers)
        per_atom = members.mean(1) * self.scale.residual_std + self._baseline(batch.atomic_numbers)
        energy = per_atom * batch.n_atoms
        forces, stress = derivatives(energy, frac, strain, batch.lattice)
        return energy.detach(), forces, stress

    def _compact(self, crystals: Sequence[Crystal]) -> tuple[list[Crystal], list[bool]]:
        """The crystals in cells that the network can read, and whether it sees all neighbours in them."""
        if self.cutoff is None:
            return list(crystals), [True] * len(crystals)
        cells = compact_cells(crystals, self.cutoff)
        return cells, sees_all_neighbors(cells, self.cutoff)

    def _batch(self, crystals: Sequence[Crystal]) -> CrystalBatch:
        return CrystalBatch.from_crystals(crystals, dtype=self.dtype).to(self.device)

    def _baseline(self, numbers: Tensor) -> Tensor:
        reference = torch.as_tensor(self.scale.baseline[0], dtype=self.dtype, device=numbers.device)
        return composition_fractions(numbers).to(self.dtype) @ reference

    def _outcomes(self, crystals: Sequence[Crystal]) -> list[Outcome]:
        try:
            energies, forces, stresses = (x.double().cpu().numpy() for x in self.evaluate(self._batch(crystals)))
        except torch.linalg.LinAlgError as error:  # torch doesn't always say whose matrix it was
            if len(crystals) == 1:
                return [PotentialFailure(f"linear algebra: {error}")]
            return [outcome for crystal in crystals for outcome in self._outcomes([crystal])]
        out: list[Outcome] = []
        for i, crystal in enumerate(crystals):
            f = forces[i, : crystal.n_atoms]
            f = f - f.mean(0)  # the energy is translation invariant: what is left is rounding
            out.append(checked(PotentialResult(float(energies[i]), f, stresses[i]), crystal))
        return out


def size_batches(crystals: Sequence[Crystal], max_pairs: int) -> Iterator[list[int]]:
    """Rows of batches of like size, smallest first.

    Args:
        crystals: Structures.
        max_pairs: Most atom pairs of a padded batch; a larger structure comes alone.

    Yields:
        Row numbers of each batch.
    """
    batch: list[int] = []
    for i in sorted(range(len(crystals)), key=lambda r: crystals[r].n_atoms):
        if batch and (len(batch) + 1) * crystals[i].n_atoms ** 2 > max_pairs:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
