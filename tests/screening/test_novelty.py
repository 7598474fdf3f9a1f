from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Lattice, Structure

from dao_core.crystal import Crystal
from dao_core.library.known import KnownStructure
from dao_core.screening.novelty import NoveltyIndex, stoichiometry, with_library_novelty, with_novelty
from dao_core.screening.symmetry import spacegroup_number
from tests.helpers.candidates import candidate, cesium_chloride, perovskite, rattled, rocksalt
from tests.helpers.structure_list import StructureList


@dataclass
class Known:
    material_id: str
    crystal: Crystal
    spacegroup_number: int | None = None

    @property
    def atomic_numbers(self):
        return self.crystal.atomic_numbers

    @property
    def formula_reduced(self) -> str:
        return self.crystal.formula_reduced


INDEX = [
    Known("halite", rocksalt(), 225),
    Known("sto", perovskite()),
    Known("cscl", cesium_chloride("Cs", "Cl", 4.12), 221),
]


def test_match_same_prototype_and_new() -> None:
    items = [
        candidate("a", rattled(rocksalt(length=5.7), 0.02)),
        candidate("b", rocksalt("Mg", "O", 4.2)),
        candidate("c", cesium_chloride("Na", "Cl", 3.4)),
        candidate("d", rattled(perovskite("Ca", "Zr"), 0.5)),
    ]
    found = with_novelty(items, NoveltyIndex(INDEX))
    assert [(c.novelty, c.novelty_reference) for c in found] == [
        ("match", "halite"),
        ("same prototype", "halite"),
        ("same prototype", "cscl"),
        ("new", None),
    ]


def test_a_mirror_image_has_the_same_prototype() -> None:
    right = Crystal.from_pymatgen(
        Structure.from_spacegroup(
            152, Lattice.hexagonal(4.91, 5.40), ["Si", "O"], [[0.47, 0, 1 / 3], [0.41, 0.27, 0.12 + 1 / 3]]
        )
    )
    left = right.replace(
        lattice=1.05 * right.lattice,
        frac_coords=-right.frac_coords,
        atomic_numbers=np.where(right.atomic_numbers == 14, 32, 8),
    )
    assert (spacegroup_number(right), spacegroup_number(left)) == (152, 154)
    for number in (152, None):
        found = with_novelty([candidate("a", left)], NoveltyIndex([Known("quartz", right, number)]))
        assert [(c.novelty, c.novelty_reference) for c in found] == [("same prototype", "quartz")]


def test_a_record_without_space_group_is_still_compared() -> None:
    found = with_novelty([candidate("a", perovskite("Ca", "Zr"))], NoveltyIndex(INDEX))
    assert found[0].novelty == "same prototype"
    assert found[0].novelty_reference == "sto"


def test_without_records_nothing_is_called_new() -> None:
    found = with_novelty([candidate("a", rocksalt())], NoveltyIndex([]))
    assert found[0].novelty is None


def test_stoichiometry() -> None:
    assert stoichiometry([38, 22, 8, 8, 8]) == stoichiometry([8, 8, 8, 8, 8, 8, 20, 20, 40, 40]) == (1, 1, 3)


def test_of_known_structures_within_the_tolerances_the_one_of_its_space_group_is_named() -> None:
    """Phases of BaTiO3 differ by less than the tolerances: none gets the id of another if its own is there."""
    stretched = perovskite("Ba", "Ti", length=4.0)
    stretched = stretched.replace(lattice=stretched.lattice * np.array([1.0, 1.0, 1.03]))
    cubic = KnownStructure("cubic", "L", None, perovskite("Ba", "Ti", length=4.0), 221, 0.0, None)
    tall = KnownStructure("tall", "L", None, stretched, 123, 0.1, None)
    guess = candidate("g", stretched, spacegroup_after=123)
    (found,) = with_library_novelty([guess], StructureList("L", (cubic, tall)))
    assert (found.novelty, found.novelty_reference, found.library_spacegroup) == ("match", "tall", 123)
    (found,) = with_library_novelty([guess], StructureList("L", (cubic,)))
    assert (found.novelty_reference, found.library_spacegroup) == ("cubic", 221)  # the page says that it is listed so
    records = [Known("cubic", cubic.crystal, 221), Known("tall", stretched, 123)]
    assert with_novelty([guess], NoveltyIndex(records))[0].novelty_reference == "tall"
