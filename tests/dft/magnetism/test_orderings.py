"""Orderings against what is known of the face-centred and body-centred lattices."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from dao_core.crystal import Crystal, crystal_from_symbols
from dao_core.dft.magnetism.orderings import enumerate_orderings, hermite_normal_forms, sign_patterns, supercell
from tests.helpers.fake_pw import nickel_oxide

BCC = [[-1.44, 1.44, 1.44], [1.44, -1.44, 1.44], [1.44, 1.44, -1.44]]


@pytest.mark.parametrize(("index", "number"), [(1, 1), (2, 7), (3, 13), (4, 35)])
def test_sublattices_of_each_index(index: int, number: int) -> None:
    """Hart and Forcade (2008), table I: sum of the divisors' products."""
    forms = list(hermite_normal_forms(index))
    assert len(forms) == number
    assert all(round(float(np.linalg.det(h))) == index for h in forms)
    lattices = {tuple(np.round(supercell(nickel_oxide(), h).volume / nickel_oxide().volume, 6).ravel()) for h in forms}
    assert lattices == {(float(index),)}


def test_rocksalt_has_its_three_smallest_orderings() -> None:
    found = enumerate_orderings(nickel_oxide(), {"Ni": 2.0}, max_cell=2, max_orderings=9)
    kinds = [(o.kind, o.crystal.n_atoms, o.n_operations) for o in found.kept]
    # ferromagnetic; AFM-I, layers along [001], tetragonal; AFM-II, layers along [111], trigonal
    assert kinds == [("ferromagnetic", 2, 48), ("antiferromagnetic", 4, 16), ("antiferromagnetic", 4, 12)]
    assert found.note == ""
    assert all(sum(o.moments) == 0 for o in found.kept[1:])
    second = found.kept[
        2
    ]  # each Ni of AFM-II has six parallel and six antiparallel neighbours, over oxygen all six anti
    ups = [i for i, m in enumerate(second.moments) if m > 0]
    distances = second.crystal.to_ase()
    from ase.neighborlist import neighbor_list

    i, j, d = neighbor_list("ijd", distances, 4.3)
    over_oxygen = [second.moments[b] for a, b, r in zip(i, j, d, strict=True) if a == ups[0] and abs(r - 4.2) < 0.01]
    assert [m for m in over_oxygen if m] == [-2.0] * 6


def test_cesium_chloride_order_of_chromium() -> None:
    found = enumerate_orderings(crystal_from_symbols(BCC, ["Cr"], [[0, 0, 0]]), {"Cr": 3.0}, max_cell=2)
    assert [(o.kind, o.n_operations) for o in found.kept][:2] == [("ferromagnetic", 48), ("antiferromagnetic", 48)]


@pytest.mark.parametrize(("structure", "a"), [("bcc", 2.866), ("bcc", 2.885), ("rocksalt", 4.445), ("rocksalt", 15.0)])
def test_no_ordering_comes_twice_at_any_lattice_constant(structure: str, a: float) -> None:
    """Distances that end in a 5 must not fall into two shells by the noise of a supercell (Cr: 3 a = 8.655)."""
    symbol = "Cr" if structure == "bcc" else "MnO"
    crystal = Crystal.from_ase(bulk(symbol, structure, a=a))
    found = enumerate_orderings(crystal, {"Cr": 3.0, "Mn": 5.0}, max_cell=3, max_orderings=99)
    kinds = [(o.kind, o.crystal.n_atoms // crystal.n_atoms) for o in found.kept]
    assert kinds == [("ferromagnetic", 1)] + 2 * [("antiferromagnetic", 2)] + 3 * [("ferrimagnetic", 3)]


def test_the_choice_of_cell_changes_nothing() -> None:
    skewed = supercell_of_same_lattice(nickel_oxide())
    a, b = (enumerate_orderings(c, {"Ni": 2.0}, max_cell=3, max_orderings=99) for c in (nickel_oxide(), skewed))
    assert a.n_found == b.n_found
    assert sorted((o.kind, o.crystal.n_atoms, o.n_operations) for o in a.kept) == sorted(
        (o.kind, o.crystal.n_atoms, o.n_operations) for o in b.kept
    )


def supercell_of_same_lattice(crystal: Crystal) -> Crystal:
    return supercell(crystal, np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])).replace(
        lattice=np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1]]) @ crystal.lattice,
        frac_coords=crystal.frac_coords @ np.linalg.inv(np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1]])),
    )


def test_two_sublattices_give_a_ferrimagnet_in_the_primitive_cell() -> None:
    crystal = crystal_from_symbols(3.8 * np.eye(3), ["Mn", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = enumerate_orderings(crystal, {"Mn": 4.0, "Fe": 3.0}, max_cell=1)
    assert [o.kind for o in found.kept] == ["ferromagnetic", "ferrimagnetic"]


def test_what_a_limit_cuts_away_is_said() -> None:
    found = enumerate_orderings(nickel_oxide(), {"Ni": 2.0}, max_cell=4, max_orderings=2)
    assert len(found.kept) == 2
    assert f"2 of {found.n_found} magnetic orderings" in found.note
    many = crystal_from_symbols(9 * np.eye(3), ["Fe"] * 5, [[0, 0, i / 5] for i in range(5)])
    assert "2x" in enumerate_orderings(many, {"Fe": 3.0}, max_cell=2, max_orderings=99).note


def test_first_site_is_up() -> None:
    assert list(sign_patterns(2)) == [(1, 1), (1, -1)]
