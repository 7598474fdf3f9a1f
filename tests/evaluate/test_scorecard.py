"""The benchmark table on cases counted by hand."""

from __future__ import annotations

import pytest

from dao_core.evaluate.scorecard import scorecard
from tests.helpers.structures import cesium_chloride, perovskite, rocksalt, rutile, shaken


def test_hand_counted_card() -> None:
    reference = [rocksalt(), perovskite(), rutile(), rutile("Cl", "Na"), rutile("Sn", "O")]
    predicted = [
        [rocksalt(), None],  # hit at 1
        [perovskite("Ti", "Sr", "O"), shaken(perovskite(), 0, 0.01)],  # hit at 2
        [None, None],  # none
        [rutile("Cl", "Na")],  # hit, but not a valid composition
        [],  # nothing at all
    ]
    card, n_ok, n_failed, reasons = scorecard(predicted=predicted, reference=reference, ks=(1, 2))
    one, two = card.unfiltered
    assert (one.match_rate, two.match_rate) == (40.0, 60.0)
    assert [a.match_rate for a in card.filtered] == [20.0, 40.0]
    assert one.rmse == pytest.approx(0.0, abs=1e-5)
    assert one.crmse == pytest.approx(0.5 * 3 / 5, abs=1e-5)
    assert two.rmse is not None
    assert two.rmse > 1e-3
    assert two.match_interval[0] < 60 < two.match_interval[1]
    assert card.same_spacegroup == 60.0  # the swapped perovskite has the right group too
    assert card.misses == {"none": 2, "validity": 1}
    assert (n_ok, n_failed) == (5, 0)
    assert n_ok + n_failed == card.n == sum(reasons.values())


def test_misses_say_how_far_they_came() -> None:
    card = scorecard(
        predicted=[[None, perovskite("Ti", "Sr", "O")], [cesium_chloride("Na", "Cl", 4.0)]],
        reference=[perovskite(), perovskite()],
    )[0]
    assert card.misses == {"sites": 1, "cell_size": 1, "validity": 0}


def test_metre_finds_the_other_polymorph() -> None:
    reference = [rocksalt(), cesium_chloride("Na", "Cl")]
    predicted = [[cesium_chloride("Na", "Cl")], [rocksalt()]]  # each predicted for the other's row
    card = scorecard(predicted=predicted, reference=reference, with_metre=True)[0]
    assert card.unfiltered[0].match_rate == 0.0
    assert card.metre == 100.0
    assert card.metre_crmse == pytest.approx(0.0, abs=1e-5)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="1 lists of predictions for 2 references"):
        scorecard(predicted=[[]], reference=[rocksalt(), rocksalt()])
