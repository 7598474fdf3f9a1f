"""Structures of the pure elements against which formation energies are taken.

Cubic and hexagonal elements at ASE's experimental lattice constants (relaxed before use), diatomic gases as a molecule
in a box. Other elements (Mn, Ga, S, P, ...) need a structure from the caller, for example CrysDB's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dao_core.crystal import Crystal
from dao_core.dft.pw.input import InputError
from dao_core.elements import atomic_number
from dao_core.readers.base import UnreadableError
from dao_core.readers.read import read_one

SOLIDS = ("fcc", "bcc", "hcp", "diamond", "sc")
CHAINS = frozenset({"Se", "Te"})  # their structures come from the Delta test (Lejaeghere et al., 2016)
BOND_LENGTHS = {"H": 0.74, "N": 1.10, "O": 1.21, "F": 1.42, "Cl": 1.99}  # angstrom, gas phase (CRC Handbook)
BOX_VACUUM = 6.0  # angstrom between a molecule and its images
SPIN_MOLECULES = {"O": 2.0 / 12.0}  # two unpaired electrons of twelve


@dataclass(frozen=True)
class ElementReference:
    """Reference structure of one element; a molecule has its atoms relaxed and its box kept."""

    element: str
    crystal: Crystal
    molecule: bool = False


def read_references(paths: Iterable[Path]) -> dict[str, Crystal]:
    """Element structures from files, by symbol. Raises InputError where a file is not a pure element's."""
    found: dict[str, Crystal] = {}
    for path in paths:
        try:
            crystal = read_one(path)
        except UnreadableError as error:
            raise InputError(f"reference {error}") from error
        if len(crystal.composition) != 1:
            raise InputError(f"reference {path} is {crystal.formula_reduced}: give the structure of a pure element")
        found[crystal.symbols[0]] = crystal
    return found


def element_reference(element: str, given: Mapping[str, Crystal] | None = None) -> ElementReference | None:
    """The reference structure of an element.

    Args:
        element: Symbol.
        given: Structures that the caller prefers, by symbol.

    Returns:
        The caller's, else the built-in one, else None.
    """
    if given and element in given:
        return ElementReference(element, given[element])
    if element in BOND_LENGTHS:
        bond = BOND_LENGTHS[element]
        lattice = np.diag([BOX_VACUUM, BOX_VACUUM * 1.02, BOX_VACUUM + bond])  # unequal: no false degeneracy
        frac = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, bond / lattice[2, 2]]])
        return ElementReference(element, Crystal(lattice, frac, np.array([atomic_number(element)] * 2)), molecule=True)
    return _solid(element)


def _solid(element: str) -> ElementReference | None:
    from ase.build import bulk
    from ase.collections import dcdft
    from ase.data import reference_states

    state = reference_states[atomic_number(element)]
    if not state or state["symmetry"] not in SOLIDS:
        return None
    # selenium and tellurium are chains: ASE's table calls them hcp without saying where the atoms are
    atoms = dcdft[element] if element in CHAINS else bulk(element)
    return ElementReference(element, Crystal.from_ase(atoms))
