"""Formation energies from the elemental references of one label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dao_core.elements import MAX_ATOMIC_NUMBER, SYMBOLS
from dao_core.hull.label import EnergyLabel, check_label


@dataclass(frozen=True)
class ElementalReferences:
    """Energy per atom of each element that formation energies are counted from.

    Attributes:
        label: What made the energies and what they mean.
        energies: Atomic number -> eV/atom; where the label's kind is "formation", zero by definition.
        by_definition: The elements whose zero no row of the source has confirmed.
        ids: Atomic number -> the entry that the energy is from, where it has a name.
    """

    label: EnergyLabel
    energies: Mapping[int, float] = field(default_factory=dict)
    by_definition: frozenset[int] = frozenset()
    ids: Mapping[int, str] = field(default_factory=dict)

    def vector(self) -> NDArray[np.float64]:
        """References by atomic number, (101,), NaN where the element is missing."""
        out = np.full(MAX_ATOMIC_NUMBER + 1, np.nan)
        for z, energy in self.energies.items():
            out[z] = energy
        return out

    def elements_energy(self, counts: Mapping[int, int]) -> float | None:
        """Energy per atom of the elements in a composition's proportions.

        Args:
            counts: Atomic number -> atoms.

        Returns:
            eV/atom, or None where an element has no reference.
        """
        if any(z not in self.energies for z in counts):
            return None
        return sum(n * self.energies[z] for z, n in counts.items()) / sum(counts.values())

    def formation_energy_per_atom(
        self, counts: Mapping[int, int], energy_per_atom: float, *, label: EnergyLabel
    ) -> float | None:
        """Formation energy of a composition.

        Args:
            counts: Atomic number -> atoms.
            energy_per_atom: In eV.
            label: What the energy means.

        Returns:
            eV/atom, or None where an element has no reference.

        Raises:
            ForeignEnergyError: `label` is not the references' own.
        """
        check_label(self.label, label)
        mean = self.elements_energy(counts)
        return None if mean is None else energy_per_atom - mean

    def missing(self, counts: Mapping[int, int]) -> list[str]:
        """Symbols of a composition's elements that have no reference, by atomic number."""
        return [SYMBOLS[z] for z in sorted(counts) if z not in self.energies]
