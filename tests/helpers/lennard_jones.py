"""A real potential that is quick and known by heart: ASE's Lennard-Jones solid behind the `Potential` protocol."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.calculators.lj import LennardJones

from dao_core.crystal import Crystal
from dao_core.energy.potential import Outcome, PotentialFailure, PotentialResult

EPSILON, SIGMA, CUTOFF = 0.0104, 3.4, 8.0  # argon, eV and angstrom


def calculator() -> LennardJones:
    return LennardJones(epsilon=EPSILON, sigma=SIGMA, rc=CUTOFF, ro=0.8 * CUTOFF, smooth=True)


class LennardJonesPotential:
    identity = "lennard-jones-argon"

    def compute(self, crystals: Sequence[Crystal]) -> list[Outcome]:
        out: list[Outcome] = []
        for crystal in crystals:
            atoms = crystal.to_ase()
            atoms.calc = calculator()
            energy = float(atoms.get_potential_energy())
            if not np.isfinite(energy):
                out.append(PotentialFailure("not finite"))
                continue
            out.append(PotentialResult(energy, atoms.get_forces(), atoms.get_stress(voigt=False)))
        return out
