"""Formation energies from the elemental references of one source and functional."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dao_core.elements import MAX_ATOMIC_NUMBER, SYMBOLS


class HullMismatchError(ValueError):
    """Energies of one origin were held against references or a hull of another."""


@dataclass(frozen=True)
class ElementalReferences:
    """Lowest energy per atom of each element, and the identity of what made them.

    `energies` maps atomic number to eV/atom. `kind` is "total" for total energies (`energy_per_atom`, with the
    correction added where the source has one) or "formation", where the elements are zero by definition.
    `by_definition` are the elements whose zero no row of the source has confirmed.
    """

    identity: str
    energies: Mapping[int, float] = field(default_factory=dict)
    kind: str = "total"
    by_definition: frozenset[int] = frozenset()

    def vector(self) -> NDArray[np.float64]:
        """References by atomic number, (101,), NaN where the element is missing."""
        out = np.full(MAX_ATOMIC_NUMBER + 1, np.nan)
        for z, energy in self.energies.items():
            out[z] = energy
        return out

    def formation_energy_per_atom(
        self, counts: Mapping[int, int], energy_per_atom: float, *, identity: str
    ) -> float | None:
        """Formation energy in eV/atom, or None where an element has no reference.

        `counts` maps atomic number to atoms. Raises HullMismatchError when `identity` is not the references' own.
        """
        check_identity(self.identity, identity)
        if any(z not in self.energies for z in counts):
            return None
        total = sum(counts.values())
        return energy_per_atom - sum(n * self.energies[z] for z, n in counts.items()) / total

    def missing(self, counts: Mapping[int, int]) -> list[str]:
        """Symbols without a reference."""
        return [SYMBOLS[z] for z in sorted(counts) if z not in self.energies]


def check_identity(expected: str, found: str) -> None:
    """Raises HullMismatchError unless both are the same."""
    if expected != found:
        raise HullMismatchError(
            f"the energies come from {found!r} but the hull from {expected!r}: use the hull of {found!r}, "
            f"or compute the energies with {expected!r}"
        )
