from __future__ import annotations

import numpy as np
import pytest
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from dao_core.crystal import Crystal
from dao_core.screening.symmetry import (
    conventional_matrix,
    crystal_system,
    groups_within,
    prototype_label,
    snap,
    spacegroup_number,
    spacegroup_symbol,
)
from tests.helpers.candidates import cesium_chloride, perovskite, rattled, rocksalt


def aflow(label: str) -> Crystal:
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    entry = next(e for e in AFLOW_PROTOTYPE_LIBRARY if e["tags"]["aflow"] == label)
    return Crystal.from_pymatgen(entry["snl"].structure)


@pytest.mark.parametrize(("crystal", "number"), [(rocksalt(), 225), (cesium_chloride(), 221), (perovskite(), 221)])
def test_space_groups_of_textbook_crystals(crystal: Crystal, number: int) -> None:
    assert spacegroup_number(crystal) == number
    assert spacegroup_number(crystal) == SpacegroupAnalyzer(crystal.to_pymatgen()).get_space_group_number()


def test_groups_that_a_crystal_has_at_least() -> None:
    assert {1, 99, 123, 160, 166, 221} <= groups_within(221)
    assert not {14, 139, 225} & groups_within(221)  # of 139 and 225 the primitive cell would be another
    assert groups_within(1) == {1}
    assert {58, 65} <= groups_within(136)


def test_symbols_and_systems() -> None:
    assert spacegroup_symbol(225) == "Fm-3m"
    assert spacegroup_symbol(14) == "P2_1/c"
    assert [crystal_system(n) for n in (1, 14, 62, 99, 161, 194, 225)] == [
        *("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")
    ]


def test_a_nearly_symmetric_structure_is_snapped_and_the_tolerance_recorded() -> None:
    crystal = rattled(perovskite(), 0.02)
    snapped = snap(crystal, 0.1)
    assert (snapped.before, snapped.after) == (1, 221)
    assert snapped.symprec == pytest.approx(0.1)
    assert spacegroup_number(snapped.crystal, 1e-4) == 221
    assert snapped.crystal.volume / crystal.volume == pytest.approx(1, abs=0.01)


def test_a_real_distortion_is_not_snapped_away() -> None:
    tetragonal = perovskite().replace(lattice=np.diag([3.9, 3.9, 4.15]))
    polar = tetragonal.replace(
        frac_coords=tetragonal.frac_coords + np.array([[0, 0, 0], [0, 0, 0.05], *[[0, 0, 0]] * 3])
    )
    snapped = snap(polar, 0.1)
    assert snapped.after == 99


def test_supercells_come_back_as_their_primitive_cell() -> None:
    big = Crystal.from_pymatgen(rocksalt().to_pymatgen().make_supercell([2, 2, 1], in_place=False))
    assert snap(big).crystal.n_atoms == 2


@pytest.mark.parametrize("label", ["AB_cF8_225_a_b", "AB2_cF12_225_a_c", "AB_hP4_186_b_b", "A2B_tP6_136_f_a"])
def test_prototype_label_finds_aflow_space_group_and_pearson_symbol(label: str) -> None:
    found = prototype_label(aflow(label)).split("_")
    formula, pearson, number, *letters = label.split("_")
    assert (found[1], found[2]) == (pearson, number)
    assert sorted(found[3:]) == sorted(letters)
    assert sorted(found[0]) == sorted(formula)


@pytest.mark.parametrize("seed", range(3))
def test_prototype_label_is_independent_of_origin_rotation_and_cell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    crystal = aflow("A2B_tP6_136_f_a")  # rutile
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    moved = crystal.replace(
        lattice=crystal.lattice @ (q * np.sign(np.linalg.det(q))), frac_coords=crystal.frac_coords + rng.random(3)
    )
    order = rng.permutation(crystal.n_atoms)
    shuffled = moved.replace(frac_coords=moved.frac_coords[order], atomic_numbers=moved.atomic_numbers[order])
    assert prototype_label(shuffled) == prototype_label(crystal)


def test_prototype_label_tells_families_apart_and_joins_decorations() -> None:
    assert prototype_label(rocksalt("Na", "Cl")) == prototype_label(rocksalt("Mg", "O", 4.2))
    assert prototype_label(rocksalt("Cl", "Na")) == prototype_label(rocksalt("Na", "Cl"))
    assert prototype_label(cesium_chloride()) != prototype_label(rocksalt())
    assert prototype_label(perovskite("Sr", "Ti")) == prototype_label(perovskite("Ca", "Zr"))


def test_conventional_matrix_of_a_primitive_cell() -> None:
    crystal = rocksalt()
    matrix = conventional_matrix(crystal)
    lattice = matrix @ crystal.lattice
    assert round(np.linalg.det(matrix)) == 4
    assert np.allclose(lattice @ lattice.T, 5.64**2 * np.eye(3), atol=1e-6)
