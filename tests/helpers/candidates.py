"""Textbook crystals as candidates of a screening."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Lattice, Structure

from dao_core.crystal import Crystal
from dao_core.screening.candidate import Candidate, new_candidate


def rocksalt(a: str = "Na", b: str = "Cl", length: float = 5.64) -> Crystal:
    lattice = length / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal.from_pymatgen(Structure(lattice, [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]]))


def cesium_chloride(a: str = "Na", b: str = "Cl", length: float = 3.4) -> Crystal:
    structure = Structure(Lattice.cubic(length), [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return Crystal.from_pymatgen(structure)


def perovskite(a: str = "Sr", b: str = "Ti", x: str = "O", length: float = 3.905) -> Crystal:
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Crystal.from_pymatgen(Structure(Lattice.cubic(length), [a, b, x, x, x], sites))


def rattled(crystal: Crystal, by: float, seed: int = 0) -> Crystal:
    """Atoms displaced by normal noise of `by` angstrom on each axis."""
    noise = np.random.default_rng(seed).normal(scale=by, size=(crystal.n_atoms, 3))
    return crystal.replace(frac_coords=crystal.frac_coords + noise @ np.linalg.inv(crystal.lattice))


def candidate(id: str, crystal: Crystal, energy: float | None = -3.0, **fields: object) -> Candidate:
    fields.setdefault("origin", "template")
    fields.setdefault("relaxation_status", "converged")
    fields.setdefault("energy_identity", "test-potential")
    return new_candidate(id, crystal, energy_per_atom=energy, **fields)  # type: ignore[arg-type]
