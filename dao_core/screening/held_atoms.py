"""Relaxations in which a given lattice and given atoms stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dao_core.crystal import Crystal
from dao_core.energy.potential import Potential, PotentialFailure, PotentialResult, label_of
from dao_core.energy.relaxation.relax import RelaxationResult, RelaxSettings, relax
from dao_core.energy.relaxation.symmetry import find_operations
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


def relax_held(
    crystals: Sequence[Crystal],
    potential: Potential,
    settings: RelaxSettings,
    n_held: int,
    stop: Callable[[], bool] | None = None,
) -> list[RelaxationResult]:
    """Relax crystals whose first atoms stay where they are.

    A symmetry that carries a held atom onto a free one would move it along. Where a crystal has one its symmetry is not
    kept, whatever the settings say.

    Args:
        crystals: Starts.
        potential: Energies, forces and stresses.
        settings: Of the relaxation.
        n_held: How many atoms stay, in every crystal.
        stop: As `relax` takes it.

    Returns:
        One result each, in order.
    """
    free = settings.model_copy(update={"keep_symmetry": False})
    apart = [settings.keep_symmetry and _mixes(c, n_held, settings.symprec) for c in crystals]
    held = HeldPotential(potential, n_held)
    results: dict[int, RelaxationResult] = {}
    for mixed, how in ((False, settings), (True, free)):
        rows = [i for i, a in enumerate(apart) if a is mixed]
        results |= dict(zip(rows, relax([crystals[i] for i in rows], held, how, stop=stop), strict=True))
    return [results[i] for i in range(len(crystals))]


def _mixes(crystal: Crystal, n_held: int, symprec: float) -> bool:
    """Whether an operation of the crystal's symmetry carries a held atom onto a free one."""
    if n_held == 0:
        return False
    return bool((find_operations(crystal, symprec=symprec).permutations[:, :n_held] >= n_held).any())


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
