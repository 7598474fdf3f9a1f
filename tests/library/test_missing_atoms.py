"""Structures of which atoms are missing are told from those that are merely open."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk, molecule
from pymatgen.core import Lattice, Structure

from dao_core.crystal import Crystal
from dao_core.library.missing_atoms import missing_atoms


def _crystal(group: str, cell: tuple[float, ...], species: list[str], points: list[list[float]]) -> Crystal:
    lattice = Lattice.from_parameters(*cell)
    return Crystal.from_pymatgen(Structure.from_spacegroup(group, lattice, species, points))


def _cubic(a: float) -> tuple[float, ...]:
    return (a, a, a, 90, 90, 90)


WHOLE = {
    "caesium iodide": _crystal("Pm-3m", _cubic(4.567), ["Cs", "I"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "lithium hydride": _crystal("Fm-3m", _cubic(4.083), ["Li", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "barium peroxide": _crystal("I4/mmm", (3.81, 3.81, 6.841, 90, 90, 90), ["Ba", "O"], [[0, 0, 0], [0, 0, 0.3911]]),
    "thallium bromide": _crystal("Pm-3m", _cubic(3.985), ["Tl", "Br"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "solid argon and its like": _crystal("Fm-3m", _cubic(5.31), ["Ar"], [[0, 0, 0]]),
    "gold-copper": _crystal("P4/mmm", (2.80, 2.80, 3.67, 90, 90, 90), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "caesium": Crystal.from_ase(bulk("Cs", "bcc", a=6.14)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_structures_are_left_alone(name: str) -> None:
    assert missing_atoms(WHOLE[name]) is None


@pytest.mark.parametrize(
    ("crystal", "reason"),
    [
        # barium peroxide with its oxygen pulled apart: 3.0 angstrom is no peroxide, so hydrogen must hold it
        (
            _crystal("I4/mmm", (3.81, 3.81, 6.841, 90, 90, 90), ["Ba", "O"], [[0, 0, 0], [0, 0, 0.28]]),
            "more oxygen or fluorine",
        ),
        (_crystal("Pm-3m", _cubic(3.876), ["N", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]), "an atom of N"),
        # the metals of a tungstate without its oxygen
        (_crystal("Pm-3m", _cubic(4.05), ["Mg", "W"], [[0, 0, 0], [0.5, 0.5, 0.5]]), "too much room"),
    ],
)
def test_what_lacks_atoms_is_named(crystal: Crystal, reason: str) -> None:
    assert reason in str(missing_atoms(crystal))


def test_ions_between_water_molecules_are_no_lonely_atoms() -> None:
    """The nearest atom of a chloride in a hydrate is a hydrogen, two angstrom away."""
    water = molecule("H2O", cell=np.eye(3) * 4.2, pbc=True)
    water.positions += np.array([2.1, 2.1, 2.1]) - water.get_center_of_mass()
    water += molecule("Cl")
    assert missing_atoms(Crystal.from_ase(water)) is None
