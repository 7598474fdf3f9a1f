from __future__ import annotations

import itertools

import pytest

from dao_core.crysdb.sources.prototypes import (
    MIN_ATOM_VOLUME,
    Prototype,
    decorations,
    iter_decorated,
    load_prototypes,
)
from dao_core.matching.distances import shortest_distance

ELEMENTS = ["Na", "Cl", "Mg", "O", "Sr", "Ti"]


@pytest.fixture(scope="module")
def prototypes() -> tuple[Prototype, ...]:
    return load_prototypes(8)


def named(prototypes: tuple[Prototype, ...], label: str) -> Prototype:
    return next(p for p in prototypes if p.label == label)


def test_library_is_large_small_celled_and_in_a_fixed_order(prototypes: tuple[Prototype, ...]) -> None:
    assert len(prototypes) > 120
    assert max(p.n_atoms for p in prototypes) <= 8
    keys = [(p.n_elements, p.n_atoms, p.label) for p in prototypes]
    assert keys == sorted(keys)


def test_rock_salt_is_rock_salt_with_a_bond_near_the_real_one(prototypes: tuple[Prototype, ...]) -> None:
    import moyopy

    crystal = named(prototypes, "AB_cF8_225_a_b").decorate(["Na", "Cl"])
    cell = moyopy.Cell(crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.atomic_numbers.tolist())
    assert moyopy.MoyoDataset(cell, symprec=1e-3).number == 225
    assert shortest_distance(crystal) == pytest.approx(2.82, rel=0.05)


def test_elements_sit_on_their_slots(prototypes: tuple[Prototype, ...]) -> None:
    perovskite = named(prototypes, "AB3C_cP5_221_a_c_b")
    for order in itertools.permutations(["Sr", "Ti", "O"]):
        crystal = perovskite.decorate(order)
        assert [crystal.symbols.count(e) for e in order] == [int((perovskite.slots == k).sum()) for k in range(3)]


def test_only_different_decorations_are_counted(prototypes: tuple[Prototype, ...]) -> None:
    """Swapping the elements of rock salt gives rock salt; swapping those of fluorite does not give fluorite."""
    counts = {
        label: len(list(decorations(named(prototypes, label), elements)))
        for label, elements in [
            ("AB_cF8_225_a_b", ["Na", "Cl"]),
            ("AB2_cF12_225_a_c", ["Mg", "O"]),
            ("AB3C_cP5_221_a_c_b", ["Sr", "O", "Ti"]),
        ]
    }
    assert counts == {"AB_cF8_225_a_b": 1, "AB2_cF12_225_a_c": 2, "AB3C_cP5_221_a_c_b": 6}


def test_no_decoration_has_overlapping_atoms_or_impossible_density(prototypes: tuple[Prototype, ...]) -> None:
    for decorated in iter_decorated(prototypes, ELEMENTS, 300, seed=1):
        crystal = decorated.crystal
        assert shortest_distance(crystal) > 0.6
        assert crystal.volume / crystal.n_atoms > MIN_ATOM_VOLUME - 1e-6


def test_molecular_elements_get_the_room_of_their_solids(prototypes: tuple[Prototype, ...]) -> None:
    crystal = named(prototypes, "A_tP4_136_f").decorate(["N"])
    assert crystal.volume / crystal.n_atoms >= 23.0 - 1e-6


def test_a_wrong_number_of_elements_is_refused_by_name(prototypes: tuple[Prototype, ...]) -> None:
    with pytest.raises(ValueError, match="AB_cF8_225_a_b takes 2 elements, got 3"):
        named(prototypes, "AB_cF8_225_a_b").decorate(["Na", "Cl", "O"])


def test_drawing_repeats_by_seed_without_doubles(prototypes: tuple[Prototype, ...]) -> None:
    def keys(seed: int) -> list[tuple[str, str, tuple[str, ...]]]:
        return [
            (d.prototype.label, d.prototype.name, d.elements) for d in iter_decorated(prototypes, ELEMENTS, 200, seed)
        ]

    assert keys(0) == keys(0)
    assert keys(0) != keys(1)
    assert len(set(keys(0))) == 200


def test_drawing_ends_when_all_are_given(prototypes: tuple[Prototype, ...]) -> None:
    salt = (named(prototypes, "AB_cF8_225_a_b"),)
    assert len(list(iter_decorated(salt, ["Na", "Cl", "K"], 10))) == 3
