"""Who proposes: both sides give half, random structures have the wanted content and are the same for a seed."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.studies.polymorphs.arms import merged, random_structures, relaxed
from tests.helpers.benchmark_targets import rocksalt
from tests.helpers.lennard_jones import LennardJonesPotential

SIZES = [5.0 + 0.1 * i for i in range(8)]


def test_half_comes_from_each_side_in_turn_and_what_one_lacks_the_other_gives() -> None:
    first, second = [rocksalt(11, 17, a) for a in SIZES[:4]], [rocksalt(3, 9, a) for a in SIZES[4:]]
    both = merged(first, second, 4)
    assert [c.formula_reduced for c in both] == ["NaCl", "LiF", "NaCl", "LiF"]
    assert merged(first, [], 4) == first
    assert merged(first, second[:1], 4) == [first[0], second[0], first[1], first[2]]
    assert merged([], [], 4) == []


def test_random_structures_have_the_cell_content_and_follow_their_seed() -> None:
    pytest.importorskip("pyxtal")
    cell = {"Na": 1, "Cl": 1}
    found = random_structures(cell, 3, seed=0)
    assert len(found) == 3
    assert all(c.composition == {"Cl": 1, "Na": 1} for c in found)
    again = random_structures(cell, 3, seed=0)
    assert all(np.array_equal(a.lattice, b.lattice) for a, b in zip(found, again, strict=True))
    other = random_structures(cell, 3, seed=1)
    assert any(not np.array_equal(a.lattice, b.lattice) for a, b in zip(found, other, strict=True))


def test_relaxing_nothing_is_nothing_and_a_rejected_one_stays_as_it_was() -> None:
    assert relaxed([], LennardJonesPotential(), 3) == []
    crowded = rocksalt(18, 18, 2.2)
    assert np.array_equal(relaxed([crowded], LennardJonesPotential(), 5)[0].lattice, crowded.lattice)
