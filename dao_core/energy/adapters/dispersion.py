"""PBE-D3(BJ) on top of another potential: what holds layers and molecules together and PBE does not know.

Additive: the base's energy, forces and stress plus those of the dispersion correction without its three-body term.
Only for potentials that reproduce plain PBE. Source: Grimme et al., J. Comput. Chem. 32, 1456 (2011), through the
package `dftd3` (LGPL-3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dao_core.crystal import Crystal
from dao_core.energy.potential import (
    Outcome,
    Potential,
    PotentialFailure,
    PotentialMissingError,
    PotentialResult,
    checked,
    label_of,
)
from dao_core.hull.label import EnergyLabel

METHOD = "PBE-D3(BJ)"


class DispersionPotential:
    """A potential with PBE-D3(BJ) added to it."""

    def __init__(self, base: Potential) -> None:
        """Take the base; its failures stay failures.

        Raises:
            PotentialMissingError: `dftd3` is not installed.
        """
        try:
            from dftd3.interface import RationalDampingParam
        except ImportError as error:
            raise PotentialMissingError("dispersion needs dftd3: pip install 'dao-csp[judge]'") from error
        self._base = base
        self.elements = getattr(base, "elements", None)  # it was trained on; None: not said
        self.outside = getattr(base, "outside", None)  # why a crystal lies outside its training; None: not said
        self._damping = RationalDampingParam(method="pbe")
        if hasattr(base, "r2scan_shifts"):
            self.r2scan_shifts = base.r2scan_shifts  # what another functional adds, where the base knows one

    @property
    def identity(self) -> str:
        """The correction and the base: its energies never meet the base's own on one hull."""
        return f"{METHOD}+{self._base.identity}"

    @property
    def label(self) -> EnergyLabel:
        """The base's, made by both."""
        return replace(label_of(self._base), made_by=self.identity)

    def compute(self, crystals: Sequence[Crystal]) -> list[Outcome]:
        """The base's outcome of each crystal with the correction added.

        Args:
            crystals: Structures of any size.

        Returns:
            One outcome for each, in order: total energy (eV), forces (N, 3) in eV/angstrom, stress (3, 3) in
            eV/angstrom^3; what the base or the correction cannot compute is a PotentialFailure.
        """
        outcomes = self._base.compute(crystals)
        return [
            checked(self._corrected(o, c), c) if isinstance(o, PotentialResult) else o
            for o, c in zip(outcomes, crystals, strict=True)
        ]

    def _corrected(self, outcome: PotentialResult, crystal: Crystal) -> Outcome:
        from ase.units import Bohr, Hartree
        from dftd3.interface import DispersionModel

        try:
            model = DispersionModel(
                crystal.atomic_numbers, crystal.cart_coords / Bohr, crystal.lattice / Bohr, np.ones(3, dtype=bool)
            )
            found: dict[str, Any] = model.get_dispersion(self._damping, grad=True)
        except (RuntimeError, ValueError) as error:
            return PotentialFailure(f"{METHOD}: {error}")
        return PotentialResult(
            energy=outcome.energy + float(found["energy"]) * Hartree,
            forces=outcome.forces - found["gradient"] * Hartree / Bohr,
            stress=outcome.stress + found["virial"] * Hartree / crystal.volume,
        )
