"""The references are the structure types that their names say: space groups by spglib, coordination by distances."""

from __future__ import annotations

import pytest
import spglib

from dao_core.matching.distances import shortest_distance
from dao_core.studies.superconductors.crystals import CRYSTALS, reference


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_reference_has_its_content_and_group(name: str) -> None:
    crystal = reference(name)
    assert crystal.composition == dict(sorted(CRYSTALS[name].items()))
    cell = (crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)
    assert spglib.get_symmetry_dataset(cell, symprec=1e-3).number == (223 if name == "Cr6Os2" else 227)
    assert shortest_distance(crystal) > 2.1


def test_a15_has_chains_and_twelve_neighbours_of_osmium() -> None:
    structure = reference("Cr6Os2").to_pymatgen()
    edge = structure.lattice.a
    osmium = next(s for s in structure if s.specie.symbol == "Os")
    chromium = next(s for s in structure if s.specie.symbol == "Cr")
    assert len(structure.get_neighbors(osmium, 0.6 * edge)) == 12
    assert len([s for s in structure.get_neighbors(chromium, 0.51 * edge) if s.specie.symbol == "Cr"]) == 2


def test_oxygen_of_the_eta_carbides_sits_in_an_octahedron_of_zirconium() -> None:
    structure = reference("Zr16Rh8O4").to_pymatgen()
    oxygen = next(s for s in structure if s.specie.symbol == "O")
    near = structure.get_neighbors(oxygen, 2.8)
    assert len(near) == 6
    assert {s.specie.symbol for s in near} == {"Zr"}
