"""Samples without waste: repeats are drawn again, the answer depends on seed, composition and number alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.generate.distinct_samples import SampleRequest, by_density, repeats, sample_distinct
from dao_core.generate.sampler import Proposal, SampleStart, sample_seed

CENTRED = [[0, 0, 0], [0.5, 0.5, 0.5]]


def cell(stretch: float, edge: float = 4.0) -> Crystal:
    """Na and Cl in a tetragonal cell: other stretches are other crystals, other edges the same one."""
    return Crystal(np.diag([1, 1, stretch]) * edge, np.array(CENTRED), np.array([11, 17]))


class Scripted:
    """A stand-in for the generator: the number of the sample (by its seed) decides what comes out."""

    def __init__(self, composition: dict[str, int], made: Sequence[Crystal | None], seed: int = 0) -> None:
        self.made = {sample_seed(seed, composition, i): c for i, c in enumerate(made)}
        self.calls: list[int] = []

    def sample(self, starts: Sequence[SampleStart]) -> list[Proposal]:
        self.calls.append(len(starts))
        return [Proposal(self.made[t.seed], "de novo", t.seed, "script") for t in starts]


NACL = {"Na": 1, "Cl": 1}


def drawn(made: Sequence[Crystal | None], n: int, **options: object) -> tuple[list[Proposal], Scripted]:
    generator = Scripted(NACL, made)
    request = SampleRequest(NACL, n, options.pop("known", ()))  # type: ignore[arg-type]
    return sample_distinct(generator, [request], 0, **options)[0], generator  # type: ignore[arg-type]


def test_repeats_are_the_same_crystal_whatever_cell_volume_and_origin() -> None:
    a, moved = cell(1.0), Crystal(np.eye(3) * 4.02, np.array(CENTRED) + 0.3, np.array([11, 17]))
    other, larger = cell(2.0), cell(1.0, 5.0)
    assert repeats([a, moved, other, None, larger, a]) == [False, True, False, False, True, True]
    assert repeats([a], known=[moved]) == [True]
    skew = np.array([[1, 0, 0], [3, 1, 0], [0, -2, 1]])
    again = Crystal(skew @ other.lattice, other.frac_coords @ np.linalg.inv(skew), other.atomic_numbers)
    assert repeats([other, again]) == [False, True]


def test_a_repeat_is_replaced_by_the_next_sample() -> None:
    made = [cell(1.0), cell(1.0), cell(2.0), cell(0.4), cell(6.0)]
    found, generator = drawn(made, 3)
    assert {id(p.crystal) for p in found} == {id(made[0]), id(made[2]), id(made[3])}
    assert generator.calls == [3, 1]


def test_no_more_is_drawn_than_needed_and_no_more_than_the_rounds() -> None:
    _, enough = drawn([cell(1.0), cell(3.5)], 2)
    assert enough.calls == [2]
    found, generator = drawn([cell(1.0)] * 9, 3)
    assert generator.calls == [3, 2, 2]
    assert len(found) == 3  # filled up with repeats: the user asked for three


def test_a_failed_sample_is_drawn_again_and_comes_last() -> None:
    failed: list[Proposal] = []
    found, _ = drawn([None, cell(1.0), cell(3.5)], 2, failed=failed)
    assert [p.crystal is None for p in found] == [False, False]
    assert [p.seed for p in failed] == [sample_seed(0, NACL, 0)]  # replaced, and still counted
    found, _ = drawn([None, cell(1.0), None, None, None], 2)
    assert [p.crystal is None for p in found] == [False, True]


def test_what_is_drawn_most_often_comes_first() -> None:
    rare, often, alike, other = cell(2.0), cell(1.0), cell(1.02), cell(3.5)
    found, _ = drawn([rare, often, None, often, alike, often, other, other], 4)
    assert [p.crystal for p in found] == [often, other, rare, often]
    assert [i for i, _ in by_density([rare, often, alike, alike], [0, 1])] == [1, 0]  # neighbours vote, too
    order = by_density([rare, often, often, alike], [0, 1, 3])
    assert [i for i, _ in order] == [1, 0, 3]  # alike is spoken for by often
    assert [round(votes, 1) for _, votes in order] == [3.0, 1.0, 0.0]
    assert by_density([rare], [0]) == [(0, pytest.approx(1.0))]


def test_the_shares_of_the_draws_add_up_and_follow_their_number() -> None:
    rare, often = cell(2.0), cell(1.0)
    found, _ = drawn([rare, often, often, None, often], 3)
    shares = {p.seed: p.share for p in found}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert found[0].share == pytest.approx(3 / 5, abs=1e-3)  # five draws; a rare one and a repeat fill up
    assert drawn([None] * 6, 2)[0][0].share == 0.0


def test_a_known_structure_is_not_asked_for_again() -> None:
    made = [cell(1.0), cell(3.5), cell(6.0)]
    found, _ = drawn(made, 1, known=(cell(1.0),))
    assert found[0].crystal is made[1]


def test_requests_do_not_touch_each_other() -> None:
    made = [cell(1.0), cell(1.0), cell(3.5), cell(6.0)]
    generator = Scripted(NACL, made)
    both = sample_distinct(generator, [SampleRequest(NACL, 2), SampleRequest(NACL, 3)], 0)  # type: ignore[arg-type]
    assert [p.crystal for p in both[0]] == [made[0], made[2]]
    assert [p.crystal for p in both[1]] == [made[0], made[2], made[3]]
