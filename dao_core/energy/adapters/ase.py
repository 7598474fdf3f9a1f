"""ASE on both sides: any of our potentials as an ASE calculator, any ASE calculator as one of our potentials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.calculators.calculator import Calculator, CalculatorError, all_changes

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.energy.potential import Outcome, Potential, PotentialFailure, PotentialResult, checked
from dao_core.hull.label import EnergyLabel
from dao_core.models.default_dtype import default_dtype

if TYPE_CHECKING:
    from ase import Atoms


class PotentialCalculator(Calculator):
    """ASE calculator over a Potential: `atoms.calc = PotentialCalculator(potential)`.

    Energy in eV, forces in eV/angstrom, stress in eV/angstrom^3 (Voigt, tension positive). Raises CalculatorError with
    the potential's reason where it fails, and on atoms that are not periodic in three directions.
    """

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, potential: Potential, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.potential = potential

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fill `results` for the atoms.

        Args:
            atoms: Periodic in three directions.
            properties: What is asked for; everything is computed.
            system_changes: What changed since the last call, for ASE's bookkeeping.

        Raises:
            CalculatorError: The atoms are no crystal, or the potential fails.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        try:
            crystal = Crystal.from_ase(self.atoms)
        except InvalidCrystalError as error:
            raise CalculatorError(f"not a crystal: {error}") from error
        outcome = checked(self.potential.compute([crystal])[0], crystal)
        if isinstance(outcome, PotentialFailure):
            raise CalculatorError(f"{self.potential.identity}: {outcome.reason}")
        s = outcome.stress
        self.results = {
            "energy": outcome.energy,
            "free_energy": outcome.energy,
            "forces": outcome.forces,
            "stress": np.array([s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]]),
        }


class AsePotential:
    """An ASE calculator as a Potential, so that a user's own model relaxes, ranks and judges here.

    One calculator serves all calls, because building one may load a model; it is reset before each crystal, so that
    neighbour lists and last results of one never touch the next. Failures inside the calculator come back as
    PotentialFailure. A calculator that sets torch's default dtype (MACE does) finds it set while it computes; nobody
    else does.
    """

    def __init__(self, make: Callable[[], Calculator], identity: str, *, label: EnergyLabel | None = None) -> None:
        """Keep the recipe; nothing is built before the first crystal.

        Args:
            make: Returns the calculator; a class or a function without arguments.
            identity: Name and version of the model with its weights.
            label: What its energies mean; uncorrected total energies of `identity` if None.
        """
        self._make = make
        self._identity = identity
        self.label = label or EnergyLabel(identity)
        self._dtype = torch.get_default_dtype()

    @property
    def identity(self) -> str:
        """Name and version, as given."""
        return self._identity

    @cached_property
    def _calculator(self) -> Calculator:
        with default_dtype(self._dtype):
            calculator = self._make()
            self._dtype = torch.get_default_dtype()
        return calculator

    def compute(self, crystals: Sequence[Crystal]) -> list[Outcome]:
        """One outcome for each crystal.

        Args:
            crystals: Structures of any size.

        Returns:
            Total energy (eV), forces (N, 3) in eV/angstrom and stress (3, 3) in eV/angstrom^3 of each, or why not.
        """
        return [self._one(crystal) for crystal in crystals]

    def _one(self, crystal: Crystal) -> Outcome:
        atoms = crystal.to_ase()
        try:
            atoms.calc = self._calculator
            with default_dtype(self._dtype):
                atoms.calc.reset()
                outcome = PotentialResult(
                    energy=float(atoms.get_potential_energy()),
                    forces=np.array(atoms.get_forces(), dtype=np.float64),
                    stress=np.array(atoms.get_stress(voigt=False), dtype=np.float64),
                )
        except (ArithmeticError, ValueError, KeyError, IndexError, RuntimeError, NotImplementedError) as error:
            # what ASE's calculators raise for unknown elements, missing properties and failed codes
            return PotentialFailure(f"{type(error).__name__}: {error}")
        return checked(outcome, crystal)
