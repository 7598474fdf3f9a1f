from __future__ import annotations

from math import exp, log

import pytest

from dao_core.crystal import Crystal
from dao_core.library.known import KnownStructure
from dao_core.library.prior import KNOWN_SHARE, SCALE, known_log_priors
from tests.helpers.structures import rocksalt


def known(e_above_hull: float | None, copies: int = 1, n_measured: int = 0) -> KnownStructure:
    crystal = Crystal.from_pymatgen(rocksalt().to_pymatgen() * (copies, 1, 1))
    return KnownStructure("id", "oqmd-icsd", None, crystal, None, e_above_hull, None, n_measured)


def test_the_shares_add_up_and_follow_the_hull_distance() -> None:
    low, high = known_log_priors([known(0.02), known(0.10)])
    assert low - high == pytest.approx(0.08 / SCALE)
    assert exp(low) + exp(high) == pytest.approx(KNOWN_SHARE)


def test_a_polytype_of_equal_energy_is_less_likely_but_small_cells_are_alike() -> None:
    small, double, long = known_log_priors([known(0.0), known(0.0, 2), known(0.0, 20)])
    assert small == double
    assert long < small - 1.0


def test_no_energy_is_neither_first_nor_out() -> None:
    ground, measured, high = known_log_priors([known(0.0), known(None), known(0.3)])
    assert ground > measured > high


def test_a_composition_that_others_lift_far_above_the_hull_has_a_lowest_structure_all_the_same() -> None:
    lifted, measured, higher = known_log_priors([known(0.19), known(None), known(0.25)])
    assert lifted - higher == pytest.approx(0.06 / SCALE)
    assert abs(lifted - measured) < 1.0
    assert known_log_priors([known(0.0), known(0.19)])[1] < known_log_priors([known(None), known(0.19)])[1] - 2


def test_what_was_measured_often_is_likelier_than_a_slightly_lower_energy_and_not_than_a_much_lower_one() -> None:
    lowest, often, high = known_log_priors([known(0.0), known(0.01, n_measured=10), known(0.3, n_measured=10)])
    assert often > lowest > high
    once, twice, never = known_log_priors([known(0.0, n_measured=1), known(0.0, n_measured=2), known(0.0)])
    assert twice > once > never


def test_one_or_none() -> None:
    assert known_log_priors([]) == []
    assert known_log_priors([known(5.0)]) == [pytest.approx(log(KNOWN_SHARE))]
