"""Small known structures for the tests of matching, templates and seeding."""

from __future__ import annotations

import numpy as np

from dao_core.crystal import Crystal


def rocksalt(a: str = "Na", b: str = "Cl", length: float = 5.64) -> Crystal:
    """Primitive rocksalt cell."""
    from pymatgen.core import Lattice, Structure

    return Crystal.from_pymatgen(
        Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(length), [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]]
        ).get_primitive_structure()
    )


def cesium_chloride(a: str = "Cs", b: str = "Cl", length: float = 4.12) -> Crystal:
    """CsCl type."""
    return _cubic(length, [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]])


def zincblende(a: str = "Zn", b: str = "S", length: float = 5.41) -> Crystal:
    """Primitive zincblende cell."""
    from pymatgen.core import Lattice, Structure

    return Crystal.from_pymatgen(
        Structure.from_spacegroup(
            "F-43m", Lattice.cubic(length), [a, b], [[0, 0, 0], [0.25, 0.25, 0.25]]
        ).get_primitive_structure()
    )


def perovskite(a: str = "Sr", b: str = "Ti", x: str = "O", length: float = 3.9) -> Crystal:
    """Cubic perovskite."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return _cubic(length, [a, b, x, x, x], sites)


def rutile(a: str = "Ti", x: str = "O", length: float = 4.59, height: float = 2.96) -> Crystal:
    """Rutile."""
    from pymatgen.core import Lattice, Structure

    lattice = Lattice.tetragonal(length, height)
    return Crystal.from_pymatgen(Structure.from_spacegroup("P4_2/mnm", lattice, [a, x], [[0, 0, 0], [0.305, 0.305, 0]]))


def peroxide(metal: str = "K", y: float = 0.33) -> Crystal:
    """A conventional C2/c cell of 8 atoms; near y = 1/4 it is nearly a rocksalt of 2."""
    from pymatgen.core import Lattice, Structure

    lattice = Lattice.monoclinic(5.9, 3.7, 6.2, 108.0)
    sites = [[0.25, 0.25, 0], [0, y, 0.25]]
    return Crystal.from_pymatgen(Structure.from_spacegroup("C2/c", lattice, [metal, "O"], sites))


def shaken(crystal: Crystal, seed: int, size: float = 0.03, strain: float = 0.03) -> Crystal:
    """Displaced by normal noise (fractional) and strained."""
    rng = np.random.default_rng(seed)
    lattice = crystal.lattice @ (np.eye(3) + rng.normal(0, strain, (3, 3)))
    return crystal.replace(lattice=lattice, frac_coords=crystal.frac_coords + rng.normal(0, size, (crystal.n_atoms, 3)))


def reset(crystal: Crystal, seed: int) -> Crystal:
    """The same crystal with another cell setting, rotation, origin and order of atoms."""
    rng = np.random.default_rng(seed)
    shear = np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]])
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(crystal.n_atoms)
    frac = (crystal.frac_coords @ np.linalg.inv(shear) + rng.random(3))[order]
    return Crystal(shear @ crystal.lattice @ rotation, frac, crystal.atomic_numbers[order])


def in_skewed_cell(crystal: Crystal, shear: int) -> Crystal:
    """The same crystal in a cell whose third vector is `shear` first ones longer, the second skewed too."""
    change = np.array([[1, 0, 0], [-(shear // 2), 1, 0], [shear, shear // 3, 1]])
    frac_coords = crystal.frac_coords @ np.rint(np.linalg.inv(change))
    return crystal.replace(lattice=change @ crystal.lattice, frac_coords=frac_coords)


def _cubic(length: float, symbols: list[str], sites: list[list[float]]) -> Crystal:
    from dao_core.crystal import crystal_from_symbols

    return crystal_from_symbols(np.eye(3) * length, symbols, sites)
