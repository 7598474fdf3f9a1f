"""Beam search over labels: exact where nothing is cut, within the groups allowed, each label once."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.generate.symmetry.label_network import LabelNetwork
from dao_core.generate.symmetry.label_search import (
    Draw,
    LabelSearchSettings,
    NoSpaceGroupError,
    sample_labels,
    score_labels,
    search_labels,
)
from tests.helpers.symmetric import tiny_model

CESIUM_CHLORIDE = ((11, 17), (1, 1))
PEROVSKITE = ((38, 22, 8), (1, 1, 3))
EVERYTHING = LabelSearchSettings(width=100_000, n=100_000, range=1e6, orders=1)


@pytest.mark.parametrize("networks", [1, 3])
def test_the_probabilities_of_all_labels_add_up_to_one(networks: int) -> None:
    """Group 123 has no dead end for two elements of one atom each."""
    found = search_labels(tiny_model(networks=networks).labels, [CESIUM_CHLORIDE], EVERYTHING, groups=[123, 221])[0]
    assert np.logaddexp.reduce([s.log_probability for s in found]) == pytest.approx(0.0, abs=1e-5)
    assert len({s.label for s in found}) == len(found)


def test_a_narrow_beam_finds_the_best_of_a_wide_one() -> None:
    networks = tiny_model(1).labels
    wide = search_labels(networks, [PEROVSKITE], EVERYTHING, groups=[47, 99, 123, 221])[0]
    narrow = search_labels(
        networks, [PEROVSKITE], LabelSearchSettings(width=300, n=5, range=50.0, orders=1), groups=[47, 99, 123, 221]
    )[0]
    assert narrow[0].label == wide[0].label
    assert len(narrow) == 5
    assert [s.log_probability for s in narrow] == sorted((s.log_probability for s in narrow), reverse=True)


def test_compositions_searched_together_get_what_each_gets_alone() -> None:
    networks, settings = tiny_model().labels, LabelSearchSettings(width=20, n=5)
    together = search_labels(networks, [CESIUM_CHLORIDE, PEROVSKITE], settings)
    for composition, found in zip((CESIUM_CHLORIDE, PEROVSKITE), together, strict=True):
        alone = search_labels(networks, [composition], settings)[0]
        assert [s.label for s in alone] == [s.label for s in found]
        assert np.allclose([s.log_probability for s in alone], [s.log_probability for s in found], atol=1e-4)


def test_labels_hold_the_composition_in_the_groups_allowed() -> None:
    found = search_labels(tiny_model().labels, [PEROVSKITE], LabelSearchSettings(), groups=[99, 221])[0]
    assert {s.label.spacegroup_number for s in found} == {99, 221}
    assert {s.label.counts for s in found} == {(1, 1, 3)}


def test_a_limit_for_each_group_spreads_the_labels() -> None:
    settings = LabelSearchSettings(most_per_group=1)
    found = search_labels(tiny_model().labels, [PEROVSKITE], settings)[0]
    numbers = [s.label.spacegroup_number for s in found]
    assert len(set(numbers)) == len(numbers) > 3


def test_groups_without_room_give_nothing() -> None:
    assert search_labels(tiny_model().labels, [PEROVSKITE], LabelSearchSettings(), groups=[62, 227]) == [[]]
    with pytest.raises(NoSpaceGroupError, match=r"hold \(1, 1, 3\)"):
        sample_labels(tiny_model().labels, PEROVSKITE, 4, Draw(0, groups=[62]))


def test_scores_are_those_of_the_search() -> None:
    """Where a label is its own only spelling, both are the probability of that spelling."""
    networks = tiny_model().labels
    found = search_labels(networks, [CESIUM_CHLORIDE], EVERYTHING, groups=[99])[0]
    assert {s.label.letters for s in found} == {("a", "a"), ("a", "b")}
    spelled = {s.label.letters: s for s in found}["a", "a"]
    # ("b", "b") counts for the same label in the search
    groups_share = search_labels(networks, [CESIUM_CHLORIDE], EVERYTHING)[0]
    assert score_labels(networks, [spelled.label])[0] < next(
        s.log_probability for s in groups_share if s.label == spelled.label
    )


def test_other_orders_of_the_elements_are_averaged() -> None:
    """Two elements have two orders; the mean of both is symmetric in them, the total stays."""
    networks = tiny_model().labels
    settings = LabelSearchSettings(width=1000, n=1000, range=1e6, orders=2)
    first = search_labels(networks, [((11, 17), (1, 1))], settings, groups=[221])[0]
    second = search_labels(networks, [((17, 11), (1, 1))], settings, groups=[221])[0]
    alone = search_labels(networks, [((11, 17), (1, 1))], EVERYTHING, groups=[221])[0]
    assert [s.log_probability for s in first] == pytest.approx([s.log_probability for s in second], abs=1e-4)
    totals = [np.logaddexp.reduce([s.log_probability for s in row]) for row in (first, alone)]
    assert totals[0] == pytest.approx(totals[1], abs=1e-5)


def test_networks_vote_with_the_mean_of_their_probabilities() -> None:
    """Group 221 holds one atom each of two elements on its positions a and b alone, so the group decides."""
    first, second = tiny_model(networks=2).labels
    settings = LabelSearchSettings(width=1000, n=1000, range=1e6, orders=1)
    groups = [99, 123, 221]

    def of_221(networks: list[LabelNetwork]) -> float:
        found = search_labels(networks, [CESIUM_CHLORIDE], settings, groups)[0]
        return float(np.exp(next(s.log_probability for s in found if s.label.spacegroup_number == 221)))

    assert of_221([first, second]) == pytest.approx((of_221([first]) + of_221([second])) / 2, rel=1e-4)
    assert abs(of_221([first]) - of_221([second])) > 0.005
    label = search_labels([first], [CESIUM_CHLORIDE], settings, [99])[0][0].label
    each = [np.exp(score_labels([network], [label])[0]) for network in (first, second)]
    assert np.exp(score_labels([first, second], [label])[0]) == pytest.approx(np.mean(each))


def test_draws_follow_the_probabilities_and_the_seed() -> None:
    networks = tiny_model().labels
    first = sample_labels(networks, CESIUM_CHLORIDE, 3000, Draw(0, groups=[99, 123, 221]))
    assert first == sample_labels(networks, CESIUM_CHLORIDE, 3000, Draw(0, groups=[99, 123, 221]))
    expected = search_labels(networks, [CESIUM_CHLORIDE], EVERYTHING, groups=[99, 123, 221])[0]
    for scored in expected[:3]:
        share = first.count(scored.label) / len(first)
        assert share == pytest.approx(np.exp(scored.log_probability), abs=0.03)
    cold = sample_labels(networks, CESIUM_CHLORIDE, 50, Draw(0, temperature=1e-5, groups=[99, 123, 221]))
    assert len(set(cold)) == 1
