"""Small potentials for tests: real ones through ASE, and ones that misbehave on purpose."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dao_core.crystal import Crystal
from dao_core.energy.adapters.ase import AsePotential
from dao_core.energy.potential import Outcome, PotentialResult
from dao_core.models.checkpoint_io import resolve


def emt() -> AsePotential:
    """ASE's effective medium theory: copper, gold and their like, about a millisecond."""
    from ase.calculators.emt import EMT

    return AsePotential(EMT, "EMT")


def lennard_jones() -> AsePotential:
    """Smoothly cut Lennard-Jones, any element, with its minimum near 2.9 angstrom."""
    from ase.calculators.lj import LennardJones

    return AsePotential(lambda: LennardJones(sigma=2.6, epsilon=0.15, rc=7.0, smooth=True), "LJ")


class Scripted:
    """A potential from a function of (crystal, how many times it has been asked)."""

    identity = "scripted"

    def __init__(self, answer: Callable[[Crystal, int], Outcome]) -> None:
        self._answer = answer
        self.calls = 0
        self.batch_sizes: list[int] = []

    def compute(self, crystals: Sequence[Crystal]) -> list[Outcome]:
        self.batch_sizes.append(len(crystals))
        self.calls += 1
        return [self._answer(c, self.calls - 1) for c in crystals]


def constant(energy: float = -1.0, force: float = 0.0, stress: float = 0.0) -> Callable[[Crystal, int], Outcome]:
    """The same answer whatever the crystal: `force` pulls the atoms apart along x (atom 0 left, the last right)."""

    def answer(crystal: Crystal, _: int) -> Outcome:
        forces = np.zeros((crystal.n_atoms, 3))
        forces[0, 0], forces[-1, 0] = -force, force
        return PotentialResult(energy * crystal.n_atoms, forces, stress * np.eye(3))

    return answer


def copper(seed: int = 0, n: int = 4, shift: float = 0.1, strain: float = 0.03) -> Crystal:
    """A strained, rattled copper cell of `n` atoms."""
    from ase.build import bulk

    rng = np.random.default_rng(seed)
    base = bulk("Cu", cubic=True) if n == 4 else bulk("Cu") * (n, 1, 1)
    crystal = Crystal.from_ase(base)
    lattice = crystal.lattice @ (np.eye(3) + rng.normal(0, strain, (3, 3)))
    cart = crystal.frac_coords @ lattice + rng.normal(0, shift, (crystal.n_atoms, 3))
    return crystal.replace(lattice=lattice, frac_coords=cart @ np.linalg.inv(lattice))


def copper_gold(seed: int = 0) -> Crystal:
    """L1_2 Cu3Au, strained and rattled."""
    crystal = copper(seed)
    return crystal.replace(atomic_numbers=[79, 29, 29, 29], lattice=crystal.lattice * 1.03)


def untested_predictor(folder: Path) -> Path:
    """The predictor that ships as if its vibrations had not been tested."""
    shutil.copytree(resolve("predictor"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "phonons_tested"}))
    return folder
