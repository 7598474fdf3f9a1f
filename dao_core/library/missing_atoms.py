"""Measured structures of which atoms are missing: as they stand they would pass for another compound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dao_core.crystal import Crystal
from dao_core.matching.distances import contact_ratios

if TYPE_CHECKING:
    from pymatgen.core import Element

# Distance to the nearest atom over the sum of covalent radii (Cordero et al., Dalton Trans. 2832, 2008). What passes
# stays below these among the minerals: 1.34 for hydrogen (tachyhydrite), 1.33 for others (Ag3P; one MgCd(CO3)2 1.39),
# 1.46 for a halide (KAs4ClO6).
LONELY = {
    **dict.fromkeys(("H", "B", "C", "N", "O", "P", "S", "As"), 1.4),
    **dict.fromkeys(("Cl", "Br", "I"), 1.5),
}
LONELY_METAL = 1.5  # transition metals and those with few large ions
OPEN_METAL = 1.4  # volume over that of the elements, where all are metals
PEROXIDE = 1.7  # angstrom; a longer O-O is none


def missing_atoms(crystal: Crystal) -> str | None:
    """Why a structure cannot be whole: a lonely atom, more oxygen than the cations can bear, or too much room.

    Args:
        crystal: As it was measured.
    """
    from pymatgen.core import Element

    elements = {Element.from_Z(int(z)) for z in set(crystal.atomic_numbers.tolist())}
    if any(e.is_noble_gas for e in elements):
        return None
    lonely = _lonely_atom(crystal)
    if lonely is not None:
        return f"an atom of {lonely} has no neighbour: others are missing"
    if _too_much_oxygen(crystal):
        return "more oxygen or fluorine than the other elements can bear: hydrogen is missing"
    if all(e.is_metal for e in elements) and len(elements) > 1 and _openness(crystal) > OPEN_METAL:
        return "a metal with too much room: atoms are missing"
    return None


def _lonely_atom(crystal: Crystal) -> str | None:
    from pymatgen.core import Element

    numbers = crystal.atomic_numbers
    nearest = contact_ratios(crystal.lattice, crystal.frac_coords, numbers).min(axis=1)
    hydrogen = 1 in numbers
    for number, ratio in zip(numbers, nearest, strict=True):
        element = Element.from_Z(int(number))
        if element.is_halogen and hydrogen:  # ions between water molecules
            continue
        limit = LONELY.get(element.symbol, LONELY_METAL if _binds(element) else np.inf)
        if ratio > limit:
            return str(element.symbol)
    return None


def _binds(element: Element) -> bool:
    return bool(element.is_transition_metal) or element.symbol in ("Al", "Si", "Ge", "Sn", "Sb")


def _too_much_oxygen(crystal: Crystal) -> bool:
    """Whether even the highest valences fall short of the oxygen and fluorine, and no peroxide explains it."""
    from pymatgen.core import Composition, Element

    counts = Composition(crystal.formula_reduced)
    taken = 2 * counts["O"] + counts["F"]
    given = sum(max(e.oxidation_states, default=0) * n for e, n in counts.items() if e.symbol not in ("O", "F"))
    if given >= taken:
        return False
    structure = crystal.to_pymatgen()
    oxygen = Element("O")
    centres, partners, _, _ = structure.get_neighbor_list(PEROXIDE)
    return not any(
        structure[int(i)].specie == oxygen and structure[int(j)].specie == oxygen
        for i, j in zip(centres, partners, strict=True)
    )


def _openness(crystal: Crystal) -> float:
    from pymatgen.core import Element

    cm3_per_mol = sum(Element.from_Z(int(z)).molar_volume for z in crystal.atomic_numbers)
    return float(crystal.volume / (cm3_per_mol / 0.602214))
