"""Which crystals are made of layers, chains or molecules: dispersion holds these together, and PBE has none.

Components of the bonded structure and how far each extends, as Larsen et al., Phys. Rev. Materials 3, 034003 (2019),
define them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from dao_core.elements import SYMBOLS
from dao_core.energy.adapters.dispersion import METHOD
from dao_core.screening.symmetry import spacegroup_symbol

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.analysis.graphs import StructureGraph

    from dao_core.crystal import Crystal
    from dao_core.screening.candidate import Candidate

# Distances over sums of covalent radii (Cordero et al., Dalton Trans. 2832, 2008). Covalent bonds are at most 1.15;
# between the chains of tellurium are 1.26, and elsewhere more. Ionic bonds have no such limit (1.35 in TlCl): of these
# a neighbour counts up to so much farther than the nearest one.
COVALENT, IONIC, LONGEST = 1.15, 1.25, 1.6
HEAVY_METALLOIDS = ("Ge", "Sb")  # bound like metals in GeTe and Sb2Te3
KINDS = ("molecules", "chains", "layers")  # by the number of dimensions in which they extend
N_LOOKED_AT = 3


def dispersion_note(candidates: Sequence[Candidate]) -> list[str]:
    """One line for an answer whose first candidates need dispersion and were judged without it.

    Args:
        candidates: In rank order.

    Returns:
        The line, or nothing.
    """
    found: dict[str, list[str]] = {}
    for place, c in enumerate(candidates[:N_LOOKED_AT], start=1):
        if not c.judged or METHOD in (c.energy_identity or "") or c.energy_kind == "formation":
            continue  # to formation energies no dispersion can be added
        if kind := made_of(c.crystal):
            group = c.spacegroup_after or c.spacegroup_before
            symbol = f" {spacegroup_symbol(group)}" if group else ""
            found.setdefault(kind, []).append(f"{place} ({c.shown_formula}{symbol})")
    if not found:
        return []
    named = ", ".join(_named(kind, places) for kind, places in found.items())
    return [f"{named}: computed without dispersion (van der Waals attraction), which --dispersion adds to the energies"]


def _named(kind: str, places: Sequence[str]) -> str:
    *others, last = places
    start = f"numbers {', '.join(others)} and {last} are" if others else f"number {last} is"
    return f"{start} made of {kind}"


def made_of(crystal: Crystal) -> str | None:
    """Whether a crystal consists of layers, chains or molecules.

    Args:
        crystal: Any cell of it.

    Returns:
        The word; None for a crystal that is bonded in three dimensions, a metal or an alloy, single atoms, and unlike
        components (they may be ions, which attract one another).
    """
    numbers = crystal.atomic_numbers
    if _metallic()[numbers].all():
        return None
    from pymatgen.analysis.dimensionality import get_structure_components  # slow to import

    found = get_structure_components(_bonded(crystal), inc_site_ids=True)
    kinds = {(int(part["dimensionality"]), _ratio(numbers[list(part["site_ids"])])) for part in found}
    if len(kinds) != 1:
        return None
    ((dimensions, _),) = kinds
    single_atoms = dimensions == 0 and len(found[0]["site_ids"]) == 1
    return None if dimensions == 3 or single_atoms else KINDS[dimensions]


def _bonded(crystal: Crystal) -> StructureGraph:
    """The crystal with its bonds."""
    from ase.data import covalent_radii
    from pymatgen.analysis.graphs import StructureGraph

    numbers, structure = crystal.atomic_numbers, crystal.to_pymatgen()
    radii, metallic = covalent_radii[numbers], _metallic()[numbers]
    first, second, images, distances = structure.get_neighbor_list(LONGEST * 2 * radii.max())
    ratios = distances / (radii[first] + radii[second])
    ionic = metallic[first] != metallic[second]
    nearest = np.full(len(numbers), np.inf)
    np.minimum.at(nearest, first[ionic], ratios[ionic])
    farthest = np.minimum(IONIC * np.maximum(nearest[first], nearest[second]), LONGEST)
    bonded = (ratios <= COVALENT) | (ionic & (ratios <= farthest))
    edges = {
        (i, j, (0, 0, 0), tuple(int(x) for x in image)): None
        for i, j, image in zip(first[bonded].tolist(), second[bonded].tolist(), images[bonded].tolist(), strict=True)
        if (i, *image) <= (j, *(-x for x in image))  # a bond stands in the list in both directions
    }
    return StructureGraph.from_edges(structure, edges)


def _ratio(numbers: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """The elements of a component in their smallest whole numbers."""
    elements, counts = np.unique(numbers, return_counts=True)
    return tuple(zip(elements.tolist(), (counts // np.gcd.reduce(counts)).tolist(), strict=True))


@lru_cache(maxsize=1)
def _metallic() -> NDArray[np.bool_]:
    """Whether the element of each atomic number gives its electrons away in compounds with nonmetals."""
    from pymatgen.core import Element

    return np.array([s in HEAVY_METALLOIDS or (bool(s) and s != "X" and Element(s).is_metal) for s in SYMBOLS])
