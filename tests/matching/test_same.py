from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher

from dao_core.crystal import Crystal
from dao_core.matching import same
from dao_core.matching.alignment import Cell
from dao_core.matching.same import (
    LOOSE,
    STRICT,
    Matcher,
    MatchSettings,
    Member,
    group_bucket,
    match_against,
    same_crystal,
)
from tests.helpers.records import caesium_chloride, rocksalt
from tests.helpers.structures import perovskite, peroxide, reset, rutile, shaken, zincblende


def member(name: str, crystal: Crystal) -> Member:
    return Member(name, crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)


def supercell(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """A random supercell of up to three cells, in another setting, orientation, origin and order of atoms."""
    while True:
        matrix = rng.integers(-2, 3, size=(3, 3))
        if 1 <= abs(round(np.linalg.det(matrix))) <= 3:
            break
    larger = crystal.to_pymatgen().make_supercell(matrix, in_place=False)
    return reset(Crystal.from_pymatgen(larger), int(rng.integers(1_000_000)))


MADE = [rocksalt(), caesium_chloride(), zincblende("Na", "Cl"), perovskite(), perovskite("Ti", "Sr"), rutile()]
PAIRS = [(a, b) for a in MADE for b in [*MADE, *(shaken(c, 3, 0.02, 0.02) for c in MADE)]]


@pytest.mark.parametrize(
    ("tolerances", "keywords"), [(STRICT, {}), (LOOSE, {"ltol": 0.3, "stol": 0.5, "angle_tol": 10})]
)
def test_same_answer_as_pymatgen(tolerances: same.Tolerances, keywords: dict[str, float]) -> None:
    matcher = StructureMatcher(**keywords)
    expected = [matcher.fit(a.to_pymatgen(), b.to_pymatgen()) for a, b in PAIRS]
    assert [same_crystal(a, b, tolerances) for a, b in PAIRS] == expected
    assert len(MADE) < sum(expected) < len(PAIRS)


def test_one_crystal_in_two_cells() -> None:
    """pymatgen sees more translations in this conventional cell than in its primitive one, and so two crystals."""
    conventional = peroxide(y=0.27)
    primitive = Crystal.from_pymatgen(conventional.to_pymatgen().get_primitive_structure(tolerance=0.01))
    assert primitive.n_atoms == 4
    assert not StructureMatcher().fit(conventional.to_pymatgen(), primitive.to_pymatgen())
    assert same_crystal(conventional, primitive)
    assert group_bucket([member("a", primitive), member("b", conventional)], MatchSettings()) == {"b": "a"}


@given(st.sampled_from(range(len(PAIRS))), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_cells_and_order_do_not_change_the_answer(which: int, seed: int) -> None:
    a, b = PAIRS[which]
    rng = np.random.default_rng(seed)
    assert same_crystal(a, supercell(a, rng))
    answer = same_crystal(a, b)
    assert same_crystal(b, a) == answer
    assert same_crystal(supercell(a, rng), supercell(b, rng)) == answer


def test_loose_forgives_more_than_strict() -> None:
    moved = rutile(height=4.2)  # c/a is 42 % larger, c at equal volume 26 %
    assert same_crystal(rutile(), moved, LOOSE)
    assert not same_crystal(rutile(), moved, STRICT)


def test_each_structure_is_reduced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reduced: list[Crystal] = []
    real = same.reduced_primitive

    def counting(crystal: Crystal) -> Cell:
        reduced.append(crystal)
        return real(crystal)

    monkeypatch.setattr(same, "reduced_primitive", counting)
    matcher = Matcher(MatchSettings())
    members = [member(str(i), rocksalt(edge=5.6 + 0.01 * i)) for i in range(4)]
    for a in members:
        for b in members:
            matcher.same(a, b)
    assert len(reduced) == 4


def test_first_in_order_stands_and_pointers_never_chain() -> None:
    members = [
        member("1", rocksalt()),
        member("2", caesium_chloride()),
        member("3", rocksalt()),
        member("4", rocksalt()),
    ]
    assert group_bucket(members, MatchSettings()) == {"3": "1", "4": "1"}


def test_match_against_targets() -> None:
    own = [member("a", rocksalt()), member("b", caesium_chloride())]
    assert match_against(own, [member("t", rocksalt(edge=5.5))], MatchSettings()) == ["a"]
    assert match_against(own, [], MatchSettings()) == []
