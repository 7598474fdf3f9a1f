"""Orderings of many magnetic sites against those that neutrons have found."""

from __future__ import annotations

import numpy as np
import pytest
import spglib
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from dao_core.crystal import Crystal
from dao_core.dft.magnetism.orderings import Ordering, enumerate_orderings
from dao_core.dft.magnetism.propagation import MagneticLattice, propagated_patterns

USUAL = 4  # orderings that are computed where nothing else is asked for


def perovskite(size: tuple[int, int, int], noise: float = 0.0) -> Crystal:
    """KMnF3 with all atoms moved at random by some angstrom."""
    sites = [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    crystal = Crystal.from_pymatgen(Structure(Lattice.cubic(4.19), ["K", "Mn", "F", "F", "F"], sites) * size)
    moves = np.random.default_rng(3).normal(size=(crystal.n_atoms, 3))
    moves *= noise / np.linalg.norm(moves, axis=1, keepdims=True)
    return crystal.replace(frac_coords=crystal.frac_coords + moves @ np.linalg.inv(crystal.lattice))


def nickel_oxide(size: tuple[int, int, int], *, primitive: bool = False) -> Crystal:
    rocksalt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Ni", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return Crystal.from_pymatgen((rocksalt.get_primitive_structure() if primitive else rocksalt) * size)


def corundum() -> Crystal:
    """Cr2O3 in its hexagonal cell with 12 Cr (Newnham and de Haan, Z. Kristallogr. 117, 235 (1962))."""
    lattice, sites = Lattice.hexagonal(4.957, 13.592), [[0, 0, 0.3475], [0.3058, 0, 0.25]]
    return Crystal.from_pymatgen(Structure.from_spacegroup("R-3c", lattice, ["Cr", "O"], sites))


def magnetite() -> Crystal:
    sites = [[0.125] * 3, [0.5] * 3, [0.2547] * 3]
    return Crystal.from_pymatgen(Structure.from_spacegroup("Fd-3m", Lattice.cubic(8.39), ["Fe", "Fe", "O"], sites))


def spins(ordering: Ordering) -> NDArray[np.int_]:
    values = np.sign(ordering.moments).astype(int)
    return values[values != 0]


def neighbours(ordering: Ordering, shortest: float, longest: float) -> set[int]:
    """Products of the spins of magnetic atoms that are so far apart (angstrom)."""
    from ase.neighborlist import neighbor_list

    values = np.sign(ordering.moments).astype(int)
    i, j, d = neighbor_list("ijd", ordering.crystal.to_ase(), longest)
    products = values[i] * values[j]
    return set(products[(d > shortest) & (products != 0)].tolist())


@pytest.mark.parametrize(
    ("size", "noise"), [((2, 2, 2), 0.0), ((2, 2, 2), 0.12), ((2, 2, 4), 0.0), ((2, 2, 4), 0.12), ((4, 4, 2), 0.12)]
)
def test_type_g_is_the_first_antiferromagnet_of_a_perovskite(size: tuple[int, int, int], noise: float) -> None:
    """Every Mn of KMnF3 has six antiparallel neighbours (Scatturin et al., Acta Cryst. 14, 19 (1961))."""
    found = enumerate_orderings(perovskite(size, noise), {"Mn": 5.0}, max_cell=1, max_orderings=USUAL)
    assert [o.kind for o in found.kept] == ["ferromagnetic", *["antiferromagnetic"] * 3]
    assert neighbours(found.kept[1], 3.5, 4.8) == {-1}


def test_types_c_and_a_of_a_distorted_perovskite_follow() -> None:
    """One of the three directions of each comes before the others of the same type."""
    found = enumerate_orderings(perovskite((2, 2, 4), 0.12), {"Mn": 5.0}, max_cell=1, max_orderings=USUAL)
    parallel = [round(float(np.mean(_along_axes(o) > 0)), 2) for o in found.kept]
    assert parallel[:2] == [1.0, 0.0]
    assert sorted(parallel[2:]) == [0.33, 0.67]


def _along_axes(ordering: Ordering) -> NDArray[np.int_]:
    values = np.sign(ordering.moments).astype(int)
    places = {tuple(np.round(x * [2, 2, 4]).astype(int) % [2, 2, 4]): v
              for x, v in zip(ordering.crystal.frac_coords, values, strict=True) if v}  # fmt: skip
    steps = np.eye(3, dtype=int)
    return np.array([v * places[tuple((np.array(p) + step) % [2, 2, 4])] for p, v in places.items() for step in steps])


@pytest.mark.parametrize(("size", "primitive"), [((2, 2, 2), False), ((2, 2, 4), True), ((2, 2, 3), True)])
def test_type_ii_of_nickel_oxide_in_a_large_cell(size: tuple[int, int, int], primitive: bool) -> None:
    """Over oxygen every Ni has six antiparallel neighbours, of the twelve nearest six (Roth, Phys. Rev. 110, 1333)."""
    crystal = nickel_oxide(size, primitive=primitive)
    assert crystal.symbols.count("Ni") > 8
    found = enumerate_orderings(crystal, {"Ni": 2.0}, max_orderings=USUAL)
    second = [o for o in found.kept if neighbours(o, 4.1, 4.3) == {-1}]
    assert len(second) == 1
    assert neighbours(second[0], 2.9, 3.1) == {1, -1}


def test_corundum_has_the_three_orders_of_its_four_layers() -> None:
    """Cr2O3 goes up and down in turn, Fe2O3 up, down, down, up along c (Shull et al., Phys. Rev. 83, 333 (1951))."""
    found = enumerate_orderings(corundum(), {"Cr": 3.0}, max_orderings=USUAL)
    column = [
        i for i, s in enumerate(corundum().symbols) if s == "Cr" and np.allclose(corundum().frac_coords[i, :2], 0)
    ]
    column.sort(key=lambda i: corundum().frac_coords[i, 2])
    assert len(column) == 4
    along_c = {"".join("+" if o.moments[i] > 0 else "-" for i in column) for o in found.kept}
    assert {min(word, word.translate(str.maketrans("+-", "-+"))) for word in along_c} == {
        "++++",
        "+-+-",
        "+--+",
        "++--",
    }


def test_the_two_sublattices_of_magnetite_are_antiparallel() -> None:
    found = enumerate_orderings(magnetite(), {"Fe": 4.0}, max_orderings=USUAL)
    assert [o.kind for o in found.kept[:2]] == ["ferromagnetic", "ferrimagnetic"]
    assert sorted(spins(found.kept[1]).tolist()).count(-1) in (8, 16)
    assert neighbours(found.kept[1], 3.4, 3.5) == {-1}  # tetrahedral and octahedral iron over one oxygen
    assert found.kept[1].n_operations == 192


@pytest.mark.parametrize("crystal", [perovskite((2, 2, 4)), nickel_oxide((2, 2, 2)), corundum(), magnetite()])
def test_no_operation_of_the_crystal_makes_two_orderings_equal(crystal: Crystal) -> None:
    moments = {"Mn": 5.0, "Ni": 2.0, "Cr": 3.0, "Fe": 4.0}
    found = enumerate_orderings(crystal, moments, max_orderings=99)
    sites = [i for i, s in enumerate(crystal.symbols) if s in moments]
    symmetry = spglib.get_symmetry((crystal.lattice, crystal.frac_coords, crystal.atomic_numbers), symprec=1e-3)
    frac = crystal.frac_coords[sites]
    seen: set[bytes] = set()
    for ordering in found.kept:
        signs = spins(ordering)
        assert signs.astype(np.int8).tobytes() not in seen
        for rotation, shift in zip(symmetry["rotations"], symmetry["translations"], strict=True):
            apart = (frac @ rotation.T + shift)[:, None] - frac[None]
            image = np.abs(apart - np.round(apart)).sum(axis=-1).argmin(axis=1)
            seen |= {(turn * signs[image]).astype(np.int8).tobytes() for turn in (1, -1)}


def test_many_sublattices_are_ordered_in_layers_and_by_orbits() -> None:
    """The garnet's two orbits of iron are antiparallel, its tetrahedral one larger (Geller and Gilleo, 1957)."""
    sites = [[0.125, 0, 0.25], [0, 0, 0], [0.375, 0, 0.25], [-0.0274, 0.0572, 0.1495]]
    garnet = Structure.from_spacegroup("Ia-3d", Lattice.cubic(12.376), ["Y", "Fe", "Fe", "O"], sites)
    crystal = Crystal.from_pymatgen(garnet.get_primitive_structure())
    found = enumerate_orderings(crystal, {"Fe": 5.0}, max_orderings=USUAL)
    assert sorted(spins(found.kept[1]).tolist()).count(-1) in (8, 12)
    assert {o.kind for o in found.kept} == {"ferromagnetic", "ferrimagnetic", "antiferromagnetic"}


def test_the_number_of_patterns_is_bounded() -> None:
    """Forty irons without any symmetry, in a box of 9.5 angstrom."""
    frac = np.random.default_rng(0).random((40, 3))
    crystal = Crystal(9.5 * np.eye(3), frac, np.full(40, 26))
    patterns = propagated_patterns(MagneticLattice.of(crystal, np.arange(40)))
    assert 2 <= len(patterns) < 1000
    assert (patterns[0] == 1).all()
