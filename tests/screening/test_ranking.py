from __future__ import annotations

import math

import pytest
from scipy.stats import laplace

from dao_core.screening.ranking import (
    ENERGY_SCALE,
    ground_states,
    polymorphs,
    probability_stable,
    rank,
    relative_energy,
    with_probability,
    with_stability,
)
from tests.helpers.candidates import candidate, cesium_chloride, perovskite, rocksalt


@pytest.mark.parametrize(("above", "std"), [(0.0, 0.03), (0.08, 0.03), (0.2, 0.05), (-0.1, 0.02), (0.5, 0.01)])
def test_probability_is_the_laplace_distribution(above: float, std: float) -> None:
    assert probability_stable(above, std, threshold=0.08) == pytest.approx(
        laplace.cdf(0.08, above, std / math.sqrt(2)), abs=1e-12
    )


def test_probability_without_spread_is_a_verdict() -> None:
    assert probability_stable(0.08, 0.0) == 1.0
    assert probability_stable(0.081, 0.0) == 0.0


@pytest.mark.parametrize("std", [-0.1, math.nan, math.inf])
def test_a_spread_that_cannot_be_is_refused(std: float) -> None:
    with pytest.raises(ValueError, match="energy_std"):
        probability_stable(0.0, std)


def test_probability_stays_unknown_where_something_is_unknown() -> None:
    full = candidate("a", rocksalt(), e_above_hull=0.0, energy_std=0.02)
    no_spread = candidate("b", rocksalt(), e_above_hull=0.0)
    no_hull = candidate("c", rocksalt(), energy_std=0.02)
    found = with_stability([full, no_spread, no_hull])
    assert found[0].p_stable == pytest.approx(laplace.cdf(4.0 * math.sqrt(2)))
    assert (found[1].p_stable, found[2].p_stable) == (None, None)


def test_one_formula_is_ranked_by_energy_per_atom_across_cells() -> None:
    items = [
        candidate("a", rocksalt(), -3.1),
        candidate("b", cesium_chloride(), -3.2),
        candidate("c", rocksalt(), -3.0),
    ]
    assert [c.id for c in rank(items)] == ["b", "a", "c"]


def test_rejected_ones_come_last_even_with_the_lowest_energy() -> None:
    items = [
        candidate("bad", rocksalt(), -9.0, relaxation_status="rejected_volume"),
        candidate("none", rocksalt(), None, relaxation_status="potential_failed"),
        candidate("good", rocksalt(), -3.0),
    ]
    assert [c.id for c in rank(items)] == ["good", "bad", "none"]


def test_energies_of_different_formulas_are_never_compared() -> None:
    items = [
        candidate("s1", perovskite(), -8.0),
        candidate("s2", perovskite(), -7.9),
        candidate("n1", rocksalt(), -3.0),
        candidate("n2", rocksalt(), -2.95),
    ]
    assert [c.id for c in rank(items)] == ["n1", "s1", "n2", "s2"]
    with_hull = [c.replace(e_above_hull=h) for c, h in zip(items, (0.3, 0.4, 0.0, 0.05), strict=True)]
    assert [c.id for c in rank(with_hull)] == ["n1", "n2", "s1", "s2"]


def test_landscape_of_each_formula() -> None:
    items = [candidate("a", rocksalt(), -3.0), candidate("b", rocksalt(), -3.1), candidate("p", perovskite(), -8.0)]
    landscape = polymorphs(items)
    assert {f: [c.id for c in group] for f, group in landscape.items()} == {"NaCl": ["b", "a"], "SrTiO3": ["p"]}
    assert relative_energy(items[0], ground_states(items)) == pytest.approx(0.1)
    rejected = items[0].replace(relaxation_status="rejected_energy")
    assert relative_energy(rejected, ground_states(items)) is None


def test_prior_and_energy_decide_together() -> None:
    lowest = candidate("lowest", rocksalt(), -3.21, log_prior=-5.0)
    likely = candidate("likely", cesium_chloride(), -3.20, log_prior=-0.1)
    high = candidate("high", rocksalt(length=6), -3.21 + 6 * ENERGY_SCALE, log_prior=-0.1)
    assert [c.id for c in rank([high, lowest, likely])] == ["likely", "lowest", "high"]
    found = {c.id: c.probability for c in with_probability([high, lowest, likely])}
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["likely"] / found["lowest"] == pytest.approx(math.exp(4.9 - 0.01 / ENERGY_SCALE))
    assert [c.id for c in rank([c.replace(log_prior=None) for c in (high, lowest, likely)])] == [
        "lowest", "likely", "high"
    ]  # fmt: skip


def test_an_unknown_prior_counts_like_the_best_known_one() -> None:
    known = [candidate(f"k{i}", rocksalt(), -3.0, log_prior=p) for i, p in enumerate((-1.0, -3.0))]
    new = candidate("new", cesium_chloride(), -3.01)
    assert [c.id for c in rank([*known, new])] == ["new", "k0", "k1"]


def test_probability_is_shared_within_each_formula_and_left_out_of_rejected_ones() -> None:
    items = [
        candidate("a", rocksalt(), -3.0),
        candidate("b", rocksalt(), -2.9, relaxation_status="rejected_energy"),
        candidate("p", perovskite(), -8.0),
    ]
    assert [c.probability for c in with_probability(items)] == [1.0, None, 1.0]


def test_prior_costs_distance_to_the_hull_among_formulas() -> None:
    items = [
        candidate("s1", perovskite(), -8.00, e_above_hull=0.02, log_prior=-9.0),
        candidate("s2", perovskite(), -7.99, e_above_hull=0.03, log_prior=-1.0),
        candidate("n1", rocksalt(), -3.0, e_above_hull=0.04, log_prior=-2.0),
    ]
    assert [c.id for c in rank(items)] == ["s2", "n1", "s1"]
