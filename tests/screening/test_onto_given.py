"""Structures brought into a given lattice and onto given atoms, with pymatgen's matcher as the judge."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from dao_core.crystal import Crystal
from dao_core.generate.constraints import Constraint
from dao_core.screening.onto_given import onto_given, parts_of


def perovskite(a: float = 3.95, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Crystal:
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    return Crystal(a * np.eye(3), np.array(sites) + shift, np.array([38, 22, 8, 8, 8]))


def rock_salt() -> tuple[Crystal, Crystal]:
    """Primitive and conventional cell."""
    full = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.3), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return Crystal.from_pymatgen(full.get_primitive_structure()), Crystal.from_pymatgen(full)


def same(a: Crystal, b: Crystal) -> bool:
    return bool(StructureMatcher(primitive_cell=False, scale=False).fit(a.to_pymatgen(), b.to_pymatgen()))


def test_a_primitive_cell_fills_a_given_conventional_one() -> None:
    primitive, full = rock_salt()
    made = onto_given(primitive, Constraint(lattice=full.lattice), full.composition)
    assert made is not None
    assert made.lattice.tobytes() == full.lattice.tobytes()
    assert made.atomic_numbers.tolist() == [8] * 4 + [12] * 4
    assert same(made, full)


def test_volume_does_not_matter_but_shape_does() -> None:
    primitive, full = rock_salt()
    small = primitive.replace(lattice=0.9 * primitive.lattice)
    made = onto_given(small, Constraint(lattice=full.lattice), full.composition)
    assert made is not None
    assert same(made, full)
    long = np.diag([1.0, 1.0, 1.3]) * 4.0
    assert onto_given(primitive, Constraint(lattice=long), full.composition) is None


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_a_tetragonal_cell_finds_its_own_axis(axes: tuple[int, int, int]) -> None:
    lengths = np.array([3.0, 3.0, 3.7])
    tetragonal = Crystal(np.diag(lengths), np.array([[0, 0, 0], [0.5, 0.5, 0.4]]), np.array([29, 79]))
    given = np.diag(lengths[list(axes)])
    made = onto_given(tetragonal, Constraint(lattice=given), {"Cu": 1, "Au": 1})
    assert made is not None
    assert same(made, tetragonal)


def test_the_framework_keeps_its_atoms_and_the_rest_follows() -> None:
    shift = (0.11, 0.23, 0.37)
    given = perovskite(shift=shift)
    kept = [4, 1, 2, 3]  # neither strontium nor the order of the suggestion
    framework = given.replace(frac_coords=given.frac_coords[kept], atomic_numbers=given.atomic_numbers[kept])
    made = onto_given(perovskite(4.1), Constraint(framework=framework), {"Sr": 1, "Ti": 1, "O": 3})
    assert made is not None
    assert made.frac_coords[:4].tobytes() == framework.frac_coords.tobytes()
    assert made.atomic_numbers.tolist() == [8, 22, 8, 8, 38]
    np.testing.assert_allclose((made.frac_coords[4] - shift + 0.5) % 1, 0.5, atol=1e-9)


def test_atoms_elsewhere_do_not_fit() -> None:
    framework = Crystal(3.95 * np.eye(3), np.array([[0, 0, 0], [0.25, 0.25, 0.25]]), np.array([22, 8]))
    assert onto_given(perovskite(), Constraint(framework=framework), {"Sr": 1, "Ti": 1, "O": 3}) is None


def test_more_atoms_of_an_element_than_there_are_do_not_fit() -> None:
    framework = Crystal(3.95 * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([22, 22]))
    assert onto_given(perovskite(), Constraint(framework=framework), {"Sr": 1, "Ti": 1, "O": 3}) is None


def test_parts_are_the_divisors_of_the_formula_units() -> None:
    assert parts_of({"Ti": 6, "O": 12}) == [{"Ti": n, "O": 2 * n} for n in (1, 2, 3, 6)]
