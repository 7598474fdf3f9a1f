"""Coverage of polymorphs: METRe is the scorecard's, intervals are over compositions, pairs need the same ones."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.evaluate.polymorphs import paired_difference, polymorph_figures
from dao_core.evaluate.scorecard import metre_rms
from tests.helpers.benchmark_targets import cesium_chloride, perovskite, rocksalt

NAN = float("nan")


def test_metre_and_crmse_are_those_of_the_scorecard() -> None:
    references = [rocksalt(11, 17), cesium_chloride(11, 17), perovskite()]
    predicted = [[rocksalt(11, 17, 5.7), rocksalt(11, 17)], [], [None]]
    pool = metre_rms(predicted=predicted, reference=references)
    best = {"NaCl": pool[:2], "SrTiO3": pool[2:]}
    figures, n_ok, n_failed, reasons = polymorph_figures(best_rms=best)
    assert figures["metre"] == pytest.approx(100 * np.isfinite(pool).mean()) == pytest.approx(100 / 3)
    assert figures["crmse"] == pytest.approx(np.nan_to_num(pool, nan=0.5).mean())
    assert figures["rmse"] == pytest.approx(np.nanmean(pool))
    assert (n_ok, n_failed, reasons) == (3, 0, {"found": 1, "not found": 2})


def test_all_found_is_counted_by_the_number_of_references() -> None:
    best = {"a": np.array([0.1, NAN]), "b": np.array([0.1, 0.2]), "c": np.array([0.1, 0.2, 0.0]), "d": np.full(2, NAN)}
    found = polymorph_figures(best_rms=best)[0]["all_found"]
    assert {size: (row["n_all_found"], row["n"]) for size, row in found.items()} == {
        "any": (2, 4),
        "2": (1, 3),
        "3": (1, 1),
    }
    assert found["2"]["percent"] == pytest.approx(100 / 3)
    low, high = found["2"]["interval"]
    assert low < 100 / 3 < high


def test_what_was_not_measured_is_counted() -> None:
    assert polymorph_figures(best_rms={"a": np.array([0.1, NAN])}, n_unmeasured=1)[1:3] == (1, 1)


def test_a_paired_difference_is_of_shares_and_needs_the_same_compositions() -> None:
    first = {"a": np.array([0.1, 0.2]), "b": np.array([0.1, NAN])}
    second = {"a": np.array([0.1, NAN]), "b": np.array([NAN, 0.3])}
    gap = paired_difference(first=first, second=second)
    assert gap["mean"] == pytest.approx(25.0)
    assert gap["n"] == 2
    assert gap["interval"][0] <= 25.0 <= gap["interval"][1]
    with pytest.raises(ValueError, match="not the same ones"):
        paired_difference(first=first, second={"a": first["a"]})


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="no compositions"):
        polymorph_figures(best_rms={})
