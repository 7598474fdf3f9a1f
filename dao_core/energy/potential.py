"""What every interatomic potential looks like here: crystals in, energies, forces and stresses out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.hull.label import EnergyLabel


class PotentialMissingError(ImportError):
    """The potential's package is not installed or does not load; the message says what to install."""


@dataclass(frozen=True, eq=False)
class PotentialResult:
    """Energy of one crystal and its derivatives.

    `energy` is the total in eV, `forces` (N, 3) in eV/angstrom, `stress` (3, 3) in eV/angstrom^3 with tension
    positive (ASE's sign): stress = dE/dstrain / volume.
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]


@dataclass(frozen=True)
class PotentialFailure:
    """Why a potential has no answer for one crystal; the others of its batch are not concerned."""

    reason: str


Outcome: TypeAlias = PotentialResult | PotentialFailure


class Potential(Protocol):
    """Anything that computes; bring your own.

    `identity` names the model and its weights and travels with every energy, because energies of two potentials
    must never meet on one hull. One whose energies are no plain total energies (DAO-P's are formation energies)
    says so in a property `label`.
    """

    @property
    def identity(self) -> str:
        """Name of the model and its weights."""
        ...

    def compute(self, crystals: Sequence[Crystal]) -> list[Outcome]:
        """Energies and their derivatives.

        Args:
            crystals: Structures, all in one call so that a model can batch them.

        Returns:
            One outcome for each crystal, in order; a crystal that fails yields a PotentialFailure, no exception.
        """
        ...


def label_of(potential: Potential) -> EnergyLabel:
    """What a potential's energies mean: who made them, and whether they are total or formation energies.

    Args:
        potential: Any potential.

    Returns:
        Its own `label`; uncorrected total energies of `identity` where it has none.
    """
    own = getattr(potential, "label", None)
    return own if isinstance(own, EnergyLabel) else EnergyLabel(potential.identity)


def checked(outcome: Outcome, crystal: Crystal) -> Outcome:
    """Turn an outcome that nobody can use into a failure.

    Args:
        outcome: What a potential said of the crystal.
        crystal: The crystal.

    Returns:
        The outcome, or a failure where it holds NaN, infinity or arrays of the wrong shape.
    """
    if isinstance(outcome, PotentialFailure):
        return outcome
    if np.shape(outcome.forces) != (crystal.n_atoms, 3) or np.shape(outcome.stress) != (3, 3):
        return PotentialFailure(f"forces {np.shape(outcome.forces)} or stress {np.shape(outcome.stress)} misshapen")
    for name in ("energy", "forces", "stress"):
        if not np.isfinite(getattr(outcome, name)).all():
            return PotentialFailure(f"{name} is NaN or infinite")
    return outcome
