from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.matching.same import Matcher, MatchSettings, Member, group_bucket, match_against
from tests.helpers.records import caesium_chloride, perovskite, rocksalt


def member(name: str, crystal: Crystal) -> Member:
    return Member(name, crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (rocksalt(), rocksalt(edge=6.2)),
        (rocksalt(), caesium_chloride()),
        (perovskite(), perovskite("Ti", "Sr")),
        (perovskite(), perovskite().replace(frac_coords=perovskite().frac_coords + np.array([0.3, 0.1, 0.7]))),
    ],
)
def test_same_answer_as_pymatgen(a: Crystal, b: Crystal) -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    expected = StructureMatcher().fit(a.to_pymatgen(), b.to_pymatgen())
    assert Matcher(MatchSettings()).same(member("a", a), member("b", b)) == expected


def test_each_structure_is_reduced_once() -> None:
    matcher = Matcher(MatchSettings())
    members = [member(str(i), rocksalt(edge=5.6 + 0.01 * i)) for i in range(4)]
    for a in members:
        for b in members:
            matcher.same(a, b)
    assert len(matcher._reduced) == 4


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
