"""TODO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dao_core.crystal import Crystal
from dao_core.energy.potential import Potential, PotentialFailure, PotentialResult, label_of
from dao_core.hull.label import EnergyLabel

if TYPE_CHECKING:
    from dao_core.generate.constraints import Constraint


@dataclass(frozen=True)
class HeldPotential:
    """A potential that leaves the first `n_held` atoms of every structure in peace: no force acts on them."""

    potential: Potential
    n_held: int

    @property
    def identity(self) -> str:
        """The energies are those of the potential itself."""
        return self.potential.identity

    @property
    def label(self) -> EnergyLabel:
        """As the potential's own."""
        return label_of(self.potential)

    def compute(self, crystals: Sequence[Crystal]) -> list[PotentialResult | PotentialFailure]:
        """Energies and stresses as they are, forces on the held atoms zero."""
        out: list[PotentialResult | PotentialFailure] = []
        for outcome in self.potential.compute(crystals):
            if isinstance(outcome, PotentialResult):
                forces = outcome.forces.copy()
                forces[: self.n_held] = 0.0
                outcome = PotentialResult(outcome.energy, forces, outcome.stress)
            out.append(outcome)
        return out


def restored(crystal: Crystal, constraint: Constraint) -> Crystal:
    """A relaxed structure with the given lattice and atoms to the last bit, as a relaxation rounds positions.

    Args:
        crystal: Relaxed, atoms in the order of its start.
        constraint: What was given.

    Returns:
        The structure with the given part put back.
    """
    if constraint.cell is None:
        return crystal
    frac = crystal.frac_coords.copy()
    if constraint.framework is not None:
        frac[: constraint.n_kept] = constraint.framework.frac_coords
    return crystal.replace(lattice=constraint.cell.copy(), frac_coords=frac)
