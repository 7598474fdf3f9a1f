from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from scipy.stats import laplace

from dao_core.crystal import Crystal
from dao_core.library.prior import NO_ENERGY, SCALE, energy_found_later
from dao_core.screening.calibration import Calibration, Context, ContextCalibration, context_of, shipped_calibration
from dao_core.screening.judged_energies import R2SCAN_WEIGHT
from dao_core.screening.ranking import (
    RankingRule,
    ground_states,
    log_posteriors,
    probability_stable,
    rank,
    relative_energy,
    with_measured_spread,
    with_probability,
    with_stability,
)
from tests.helpers.candidates import candidate, cesium_chloride, perovskite, rocksalt

T, JUDGE_T, LIBRARY_T, ERROR, COVERAGE = 0.05, 0.02, 0.04, 0.015, 0.9
_NUMBERS = ContextCalibration({"first": T, "judge": JUDGE_T, "library": LIBRARY_T, "other": T}, 1.0, COVERAGE)
RULE = RankingRule(
    {"test-potential": "first", "a judge": "judge"},
    calibration=Calibration(
        {"first": ERROR, "judge": ERROR, "other": ERROR},
        dict.fromkeys(get_args(Context), _NUMBERS),
    ),
)


_KNOWN = {"origin": "known", "library": "test", "library_id": "t-1"}


def judged(id: str, crystal, energy: float, first: float | None, **fields):
    more = {"judged": True, "first_energy_per_atom": first, "first_energy_identity": "test-potential"}
    return candidate(id, crystal, energy, energy_identity="a judge", **more, **fields)


@pytest.mark.parametrize(("above", "std"), [(0.0, 0.03), (0.08, 0.03), (0.2, 0.05), (-0.1, 0.02), (0.5, 0.01)])
def test_probability_is_the_laplace_distribution(above: float, std: float) -> None:
    assert probability_stable(above, std, threshold=0.08) == pytest.approx(
        laplace.cdf(0.08, above, std / math.sqrt(2)), abs=1e-12
    )


def test_probability_without_spread_is_certain() -> None:
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


def test_a_measured_error_stands_in_for_a_spread_and_nothing_else_does() -> None:
    seen = [judged("a", rocksalt(), -7.0, None), candidate("b", rocksalt(), energy_std=0.5),
            candidate("c", rocksalt(), energy_identity="someone's"), candidate("d", rocksalt(), None)]  # fmt: skip
    found = with_measured_spread(seen, RULE)
    assert [c.energy_std for c in found] == [pytest.approx(math.sqrt(2) * ERROR), 0.5, None, None]


def test_one_formula_is_ranked_by_energy_per_atom_across_cells() -> None:
    items = [
        candidate("a", rocksalt(), -3.1),
        candidate("b", cesium_chloride(), -3.2),
        candidate("c", rocksalt(), -3.0),
    ]
    assert [c.id for c in rank(items, RULE)] == ["b", "a", "c"]


def test_rejected_ones_come_last_even_with_the_lowest_energy() -> None:
    items = [
        candidate("bad", rocksalt(), -9.0, relaxation_status="rejected_volume"),
        candidate("none", rocksalt(), None, relaxation_status="potential_failed"),
        candidate("good", rocksalt(), -3.0),
    ]
    assert [c.id for c in rank(items, RULE)] == ["good", "bad", "none"]


def test_energies_of_different_formulas_are_never_compared() -> None:
    items = [
        candidate("s1", perovskite(), -8.0),
        candidate("s2", perovskite(), -7.9),
        candidate("n1", rocksalt(), -3.0),
        candidate("n2", rocksalt(), -2.95),
    ]
    assert [c.id for c in rank(items, RULE)] == ["n1", "s1", "n2", "s2"]
    with_hull = [c.replace(e_above_hull=h) for c, h in zip(items, (0.3, 0.4, 0.0, 0.05), strict=True)]
    assert [c.id for c in rank(with_hull, RULE)] == ["n1", "n2", "s1", "s2"]


def test_a_formula_without_any_energy_comes_after_those_on_a_hull() -> None:
    """A budget that ended early left it so; nothing says that it lies on the hull."""
    items = [
        candidate("waits", perovskite(), None, relaxation_status="not_relaxed", energy_identity=None, log_prior=-0.1),
        candidate("far", rocksalt(), -3.0, e_above_hull=0.05, log_prior=-0.1),
        candidate("near", rocksalt("Mg", "O", 4.2), -6.0, e_above_hull=0.01, log_prior=-0.1),
    ]
    assert [c.id for c in rank(items, RULE)] == ["near", "far", "waits"]
    assert [c.id for c in rank(items[:2], RULE)] == ["far", "waits"]


def test_energy_above_the_lowest_of_the_formula_in_the_energies_that_decide() -> None:
    items = [candidate("a", rocksalt(), -3.0), candidate("b", rocksalt(), -3.1), candidate("p", perovskite(), -8.0)]
    assert relative_energy(items[0], ground_states(items)) == pytest.approx(0.1)
    rejected = items[0].replace(relaxation_status="rejected_energy")
    assert relative_energy(rejected, ground_states(items)) is None
    seen = [judged("j", cesium_chloride(), -1.0, -3.2), *items]
    best = ground_states(seen)
    assert best["NaCl"] == -1.0
    assert relative_energy(items[0], best, "a judge") is None


def test_prior_and_energy_decide_together() -> None:
    lowest = candidate("lowest", rocksalt(), -3.21, log_prior=-5.0)
    likely = candidate("likely", cesium_chloride(), -3.20, log_prior=-0.1)
    high = candidate("high", rocksalt(length=6), -3.21 + 6 * T, log_prior=-0.1)
    assert [c.id for c in rank([high, lowest, likely], RULE)] == ["likely", "lowest", "high"]
    found = {c.id: c.probability for c in with_probability([high, lowest, likely], RULE)}
    assert sum(found.values()) == pytest.approx(COVERAGE)
    assert found["likely"] / found["lowest"] == pytest.approx(math.exp(4.9 - 0.01 / T))
    assert [c.id for c in rank([c.replace(log_prior=None) for c in (high, lowest, likely)], RULE)] == [
        "lowest", "likely", "high"
    ]  # fmt: skip


def test_an_unknown_prior_counts_like_the_best_known_one() -> None:
    known = [candidate(f"k{i}", rocksalt(), -3.0, log_prior=p) for i, p in enumerate((-1.0, -3.0))]
    new = candidate("new", cesium_chloride(), -3.01)
    assert [c.id for c in rank([*known, new], RULE)] == ["new", "k0", "k1"]


def test_probability_is_shared_within_each_formula_and_left_out_of_rejected_ones() -> None:
    items = [
        candidate("a", rocksalt(), -3.0),
        candidate("b", rocksalt(), -2.9, relaxation_status="rejected_energy"),
        candidate("p", perovskite(), -8.0),
    ]
    assert [c.probability for c in with_probability(items, RULE)] == pytest.approx([COVERAGE, None, COVERAGE])


def test_what_was_not_relaxed_takes_its_part_but_shows_no_probability() -> None:
    items = [
        candidate("relaxed", rocksalt(), -3.0, log_prior=-1.0),
        candidate("waiting", cesium_chloride(), None, log_prior=-1.0, relaxation_status="not_relaxed"),
    ]
    relaxed, waiting = with_probability(items, RULE)
    assert relaxed.probability == pytest.approx(COVERAGE / 2)
    assert waiting.probability is None
    assert [c.id for c in rank(items, RULE)] == ["relaxed", "waiting"]


def test_the_library_s_distance_stands_in_for_an_energy_that_nobody_has() -> None:
    waiting = {"relaxation_status": "not_relaxed", "origin": "known", "log_prior": -1.0}
    on = candidate("on", rocksalt(), None, library_e_above_hull=0.0, **waiting)
    above = candidate("above", cesium_chloride(), None, library_e_above_hull=0.06, **waiting)
    logs = log_posteriors([above, on], RULE)
    assert logs["on"] - logs["above"] == pytest.approx(0.06 / LIBRARY_T)
    assert [c.id for c in rank([above, on], RULE)] == ["on", "above"]
    lifted = [c.replace(library_e_above_hull=h) for c, h in ((on, 0.19), (above, 0.25))]  # both above other compounds
    assert log_posteriors(lifted, RULE)["on"] == pytest.approx(logs["on"])
    guess = candidate("guess", rocksalt(length=6), -3.0, log_prior=-3.0)
    assert rank([*lifted, guess], RULE)[0].id == "on"


def test_the_judge_decides_among_what_it_saw_and_never_meets_the_first_energies() -> None:
    a = judged("a", rocksalt(), -7.00, -3.00)
    b = judged("b", cesium_chloride(), -7.04, -3.01)
    rest = candidate("rest", rocksalt(length=7), -3.005)
    logs = log_posteriors([a, b, rest], RULE)
    first = {"a": 0.01, "b": 0.0, "rest": 0.005}
    total = sum(math.exp(-e / T) for e in first.values())
    assert math.exp(logs["rest"]) == pytest.approx(math.exp(-0.005 / T) / total)
    assert math.exp(logs["b"] - logs["a"]) == pytest.approx(math.exp(0.04 / JUDGE_T))
    assert sum(map(math.exp, logs.values())) == pytest.approx(1.0)


def test_the_judge_says_what_the_library_could_not_of_a_structure_without_energy() -> None:
    def odds(unknown: float, **fields) -> float:
        listed = judged("listed", rocksalt(), -1.0, None, log_prior=0.0, library_e_above_hull=0.0, **_KNOWN)
        other = judged("other", cesium_chloride(), unknown, None, log_prior=-NO_ENERGY, **fields)
        logs = log_posteriors([listed, other], RULE)
        return logs["other"] - logs["listed"]

    assert odds(-1.0, **_KNOWN) == pytest.approx(0.0)
    assert odds(-0.9, **_KNOWN) == pytest.approx(-0.1 / JUDGE_T - 0.1 / SCALE)
    assert odds(-1.0, origin="template") == pytest.approx(-NO_ENERGY)  # a prior of another kind stays


def test_a_gain_on_the_library_s_ground_state_counts_as_far_as_the_judge_errs() -> None:
    known = judged("known", rocksalt(), -3.5, None, log_prior=0.0, library_e_above_hull=0.0, **_KNOWN)

    def odds(gain: float, **fields: float | None) -> float:
        other = judged("other", cesium_chloride(), -3.5 - gain, -3.4, log_prior=0.0)
        logs = log_posteriors([known.replace(**fields), other], RULE)
        return logs["other"] - logs["known"]

    assert odds(ERROR) == pytest.approx(ERROR / JUDGE_T)
    assert odds(2 * ERROR) == pytest.approx(odds(0.2)) == pytest.approx(2 * ERROR / JUDGE_T)
    assert odds(0.2, library_e_above_hull=0.06) == pytest.approx(2 * ERROR / JUDGE_T)  # other compounds lie lower
    assert odds(0.2, library_e_above_hull=0.3) == pytest.approx(0.2 / JUDGE_T)  # so high that it is hardly the lowest
    assert odds(-0.2) == pytest.approx(-0.2 / JUDGE_T)


def test_a_gain_on_a_measured_structure_counts_as_far_too_unless_the_judge_left_it() -> None:
    measured = judged("m", rocksalt(), -3.5, None, log_prior=0.0, **_KNOWN)
    other = judged("o", cesium_chloride(), -4.5, -3.4, log_prior=0.0)
    gain = {s: log_posteriors([measured.replace(relaxation_status=s), other], RULE) for s in ("converged", "start")}
    assert gain["converged"]["o"] > gain["converged"]["m"]
    assert gain["start"]["o"] - gain["start"]["m"] > 3 * (gain["converged"]["o"] - gain["converged"]["m"])


def test_what_a_calculation_lists_as_the_lowest_is_believed_beyond_what_was_only_measured() -> None:
    """Of carbon disulfide a false entry was "measured", and the right one lies far above a hull of other compounds."""
    measured = judged("m", rocksalt(), -3.5, None, log_prior=0.0, **_KNOWN)
    listed = judged("l", cesium_chloride(), -3.9, None, log_prior=0.0, library_e_above_hull=0.3, **_KNOWN)
    logs = log_posteriors([measured, listed], RULE)
    assert logs["l"] - logs["m"] == pytest.approx(0.4 / JUDGE_T - energy_found_later(0.4))
    above = listed.replace(id="a", library_e_above_hull=0.5)  # not the lowest that is listed: a hole like any other
    lowest = judged("b", rocksalt(), -3.4, None, log_prior=0.0, library_e_above_hull=0.3, **_KNOWN)
    logs = log_posteriors([measured, above, lowest], RULE)
    assert logs["a"] - logs["m"] == pytest.approx(2 * ERROR / JUDGE_T - energy_found_later(2 * ERROR))


def test_what_r2scan_adds_to_pbe_counts_where_all_judged_structures_have_it() -> None:
    low = judged("l", rocksalt(), -3.50, None, log_prior=0.0, r2scan_shift=-13.0)
    high = judged("h", cesium_chloride(), -3.49, None, log_prior=0.0, r2scan_shift=-13.04)
    logs = log_posteriors([low, high], RULE)
    assert logs["h"] - logs["l"] == pytest.approx((R2SCAN_WEIGHT * 0.04 - 0.01) / JUDGE_T)
    assert [c.id for c in rank([low, high], RULE)] == ["h", "l"]
    assert {c.energy_per_atom for c in rank([low, high], RULE)} == {-3.50, -3.49}  # what is shown stays PBE's
    without = log_posteriors([low, high.replace(r2scan_shift=None)], RULE)
    assert without["l"] - without["h"] == pytest.approx(0.01 / JUDGE_T)


def test_a_start_that_only_the_judge_left_counts_with_its_own_energy() -> None:
    """Nobody but the judge has an energy of its end: what was no crystal must not stand by its prior alone."""
    start = candidate("x-start", rocksalt(), 1.0, log_prior=0.0, relaxation_status="start")
    end = judged("x", cesium_chloride(), -7.0, None, log_prior=-2.0, start_id="x-start")
    other = candidate("y", cesium_chloride(), -1.0, log_prior=0.0)
    logs = log_posteriors([start, end, other], RULE)
    assert logs["y"] - logs["x-start"] == pytest.approx(2.0 / T)


def test_a_start_that_was_left_counts_with_what_it_became() -> None:
    start = candidate("x-start", rocksalt(), -2.8, log_prior=-1.0, relaxation_status="start")
    end = candidate("x", cesium_chloride(), -3.0, log_prior=-2.6, start_id="x-start")
    assert [c.id for c in rank([end, start], RULE)] == ["x-start", "x"]
    assert with_probability([end, start], RULE)[1].probability is not None
    usual, far = (log_posteriors([end, start.replace(energy_per_atom=-3.0 + fall)], RULE) for fall in (0.2, 2.0))
    assert usual["x-start"] - usual["x"] == pytest.approx(RULE.calibration.contexts["neither"].prior_weight * 1.6)
    taken_in = end.replace(id="y", start_id=None, merged_ids=("x",))  # the end was merged into another way there
    merged = log_posteriors([taken_in, start], RULE)
    assert merged["x-start"] - merged["y"] == pytest.approx(usual["x-start"] - usual["x"])
    assert far["x-start"] < far["x"]  # it fell by 2 eV/atom: what it was is no crystal that anybody lists


def test_a_listed_structure_that_the_judge_left_counts_with_its_end_if_somebody_calculated_it() -> None:
    """Tenorite: PBE keeps copper oxide in C2/c, the judge takes it to P4_2/mmc, 0.04 eV/atom lower."""
    fields = {"relaxation_status": "start", "log_prior": -1.0, **_KNOWN}
    start = judged("x-start", rocksalt(), -2.96, None, library_e_above_hull=0.0, **fields)
    end = judged("x", cesium_chloride(), -3.0, None, log_prior=-2.6, start_id="x-start", origin="known")
    weight = RULE.calibration.contexts["composition"].prior_weight

    def odds(energy: float, **changes: float | None) -> float:
        logs = log_posteriors([end, start.replace(energy_per_atom=energy, **changes)], RULE)
        return logs["x-start"] - logs["x"]

    assert odds(-2.96) == pytest.approx(odds(-2.9)) == pytest.approx(1.6 * weight)
    assert odds(-2.96, library_e_above_hull=None) > odds(-2.9, library_e_above_hull=None)  # nobody has calculated it


def test_gaps_below_the_error_are_undecided() -> None:
    close = [judged("a", rocksalt(), -7.0, None), judged("b", cesium_chloride(), -7.0 + 0.9 * ERROR, None)]
    far = judged("c", rocksalt(length=7), -7.0 + 1.1 * ERROR, None)
    assert [c.undecided for c in with_probability([*close, far], RULE)] == [True, True, False]
    assert [c.undecided for c in with_probability([close[0], far], RULE)] == [False, False]


def test_other_orders() -> None:
    low = candidate("low", rocksalt(), -3.3, log_prior=-5.0)
    listed = candidate("listed", cesium_chloride(), -3.2, log_prior=-0.1)
    assert [c.id for c in rank([low, listed], RankingRule(RULE.names, "energy", RULE.calibration))] == ["low", "listed"]
    assert [c.id for c in rank([low, listed], RankingRule(RULE.names, "listed", RULE.calibration))] == ["listed", "low"]


def test_prior_costs_distance_to_the_hull_among_formulas() -> None:
    items = [
        candidate("s1", perovskite(), -8.00, e_above_hull=0.02, log_prior=-9.0),
        candidate("s2", perovskite(), -7.99, e_above_hull=0.03, log_prior=-1.0),
        candidate("n1", rocksalt(), -3.0, e_above_hull=0.04, log_prior=-2.0),
    ]
    assert [c.id for c in rank(items, RULE)] == ["s2", "n1", "s1"]


def test_what_the_library_knows_of_a_formula() -> None:
    template = candidate("t", rocksalt(), origin="template", log_prior=math.log(0.6))
    unlikely = candidate("t", rocksalt(), origin="template", log_prior=math.log(0.1))
    assert context_of([template, candidate("k", rocksalt(), origin="known")]) == "composition"
    assert context_of([template]) == "prototype"
    assert context_of([unlikely, candidate("g", rocksalt(), origin="de novo", log_prior=-0.1)]) == "neither"
    silicon = Crystal(2.7 * (np.ones((3, 3)) - np.eye(3)), [[0, 0, 0], [0.25, 0.25, 0.25]], [14, 14])
    assert context_of([candidate("k", silicon, origin="known")]) == "element"


def test_the_shipped_numbers_are_complete() -> None:
    numbers = shipped_calibration()
    assert set(numbers.contexts) == set(get_args(Context))
    for entry in numbers.contexts.values():
        assert entry.temperature.keys() - {"library"} == numbers.error.keys() >= {"dao", "chgnet", "sevennet", "other"}
        assert "library" in entry.temperature
        assert all(t > 0 for t in entry.temperature.values())
        assert 0 < entry.coverage <= 1
