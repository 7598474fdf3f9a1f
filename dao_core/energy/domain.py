"""Where a predictor was trained: structures beyond its data in density, contacts or isolated atoms are flagged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.elements import SYMBOLS
from dao_core.matching.distances import contact_ratios

RARE = 0.1  # percent of the training structures that may lie beyond a limit, on each side


@dataclass(frozen=True)
class TrainedDomain:
    """Limits of a training set, each left by RARE percent of it.

    Attributes:
        elements: Atomic numbers.
        volumes: Usual volume of each element in angstrom^3, (101,), by which densities are compared.
        density: Lowest and highest ratio of the usual volume to the volume.
        contact: Lowest ratio of a distance to the sum of the covalent radii.
        gap: Highest ratio for an atom's nearest neighbour: beyond it the atom stands alone.
    """

    elements: tuple[int, ...]
    volumes: tuple[float, ...]
    density: tuple[float, float]
    contact: float
    gap: float

    @classmethod
    def fit(cls, crystals: Iterable[Crystal], volumes: NDArray[np.float64]) -> TrainedDomain:
        """Measure a training set.

        Args:
            crystals: Its structures.
            volumes: Usual volume of each element in angstrom^3, (101,).

        Returns:
            The domain.
        """
        usual = tuple(round(float(v), 3) for v in volumes)
        elements: set[int] = set()
        rows = []
        for crystal in crystals:
            elements |= set(crystal.atomic_numbers.tolist())
            nearest = nearest_ratios(crystal)
            rows.append((relative_density(crystal, usual), nearest.min(), nearest.max()))
        density, contact, gap = np.array(rows).T
        low, high = np.percentile(density, [RARE, 100 - RARE])
        return cls(
            tuple(sorted(elements)), usual, (float(low), float(high)), float(np.percentile(contact, RARE)),
            float(np.percentile(gap, 100 - RARE)),
        )  # fmt: skip

    def joined(self, other: TrainedDomain) -> TrainedDomain:
        """The domain of what was trained on two sets, one after the other.

        Args:
            other: Of the second set, its densities measured by the same usual volumes.

        Returns:
            All that lies in one of them, and what lies between them.
        """
        return TrainedDomain(
            tuple(sorted({*self.elements, *other.elements})),
            self.volumes,
            (min(self.density[0], other.density[0]), max(self.density[1], other.density[1])),
            min(self.contact, other.contact),
            max(self.gap, other.gap),
        )

    def outside(self, crystal: Crystal) -> str | None:
        """Why a structure lies outside.

        Args:
            crystal: Any structure.

        Returns:
            What is unlike the training set, for people; None inside.
        """
        unseen = sorted(set(crystal.atomic_numbers.tolist()) - set(self.elements))
        if unseen:
            return f"no training data with {', '.join(SYMBOLS[z] for z in unseen)}"
        density = relative_density(crystal, self.volumes)
        if not self.density[0] <= density <= self.density[1]:
            return f"{density:.2f} of the usual density, trained from {self.density[0]:.2f} to {self.density[1]:.2f}"
        nearest = nearest_ratios(crystal)
        if nearest.min() < self.contact:
            return f"atoms at {nearest.min():.2f} of their bond length, trained from {self.contact:.2f}"
        if nearest.max() > self.gap:
            return f"an atom with no neighbour within {self.gap:.2f} bond lengths"
        return None

    def state(self) -> dict[str, object]:
        """JSON form for a checkpoint's config."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, object]) -> TrainedDomain:
        """Back from `state`."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in state.items()})  # type: ignore[arg-type]


def relative_density(crystal: Crystal, volumes: tuple[float, ...]) -> float:
    """Usual volume of a crystal's atoms over its volume.

    Args:
        crystal: Any structure.
        volumes: Usual volume of each element in angstrom^3.

    Returns:
        A ratio, 1 for a usual density.
    """
    return float(sum(volumes[z] for z in crystal.atomic_numbers.tolist()) / crystal.volume)


def nearest_ratios(crystal: Crystal) -> NDArray[np.float64]:
    """Distance of each atom to what is nearest to it, in sums of covalent radii.

    Args:
        crystal: Any structure.

    Returns:
        (N,); near 1 for a bond.
    """
    return contact_ratios(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers).min(axis=1)
