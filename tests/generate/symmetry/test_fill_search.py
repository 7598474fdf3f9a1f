"""Degrees of freedom by beam over peaks, and the tokens behind it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dao_core.generate.symmetry.description import (
    B_OVER_A,
    COORDINATE,
    COS_BETA,
    VOLUME,
    degrees_of_freedom,
    from_values,
    to_crystal,
)
from dao_core.generate.symmetry.fill_search import _predict, peaks, search_fills
from dao_core.generate.symmetry.fill_tokens import (
    COORDINATE_BINS,
    RANGES,
    FillBatch,
    encode_fill,
    n_bins,
    soft_targets,
)
from dao_core.generate.symmetry.labels import Label
from tests.helpers.symmetric import VOLUMES, labels, random_values, tiny_model


@pytest.mark.parametrize(("kind", "value"), [(B_OVER_A, 0.41), (COS_BETA, -0.3), (VOLUME, 0.1), (COORDINATE, 0.2345)])
def test_the_peak_of_a_target_is_the_value(kind: int, value: float) -> None:
    target = soft_targets(kind, torch.tensor([value]))[0].double().numpy()
    found = peaks(kind, target)
    width = 1 / COORDINATE_BINS if kind == COORDINATE else (RANGES[kind][1] - RANGES[kind][0]) / n_bins(kind)
    assert len(found) == 1
    assert found[0][0] == pytest.approx(value, abs=0.25 * width)
    assert found[0][1] == pytest.approx(1.0)


def test_coordinates_are_periodic_and_snap_to_simple_fractions() -> None:
    around_zero = soft_targets(COORDINATE, torch.tensor([0.999]))[0].double().numpy()
    assert peaks(COORDINATE, around_zero) == [(0.0, pytest.approx(1.0))]
    third = soft_targets(COORDINATE, torch.tensor([1 / 3 + 0.001]))[0].double().numpy()
    assert peaks(COORDINATE, third)[0][0] == 1 / 3


def test_two_peaks_share_the_probability() -> None:
    both = 0.7 * soft_targets(COORDINATE, torch.tensor([0.2])) + 0.3 * soft_targets(COORDINATE, torch.tensor([0.6]))
    found = peaks(COORDINATE, both[0].double().numpy())
    assert [round(mass, 3) for _, mass in found] == [0.7, 0.3]
    assert [value for value, _ in found] == [pytest.approx(0.2, abs=0.004), pytest.approx(0.6, abs=0.004)]


def test_values_outside_the_range_go_to_the_last_bin() -> None:
    assert soft_targets(VOLUME, torch.tensor([5.0])).argmax() == n_bins(VOLUME) - 1


@pytest.mark.parametrize("label", labels()[:12], ids=str)
def test_fills_make_structures_of_the_label(label: Label) -> None:
    fills = search_fills(tiny_model().fills, [label], width=4)[0]
    assert 0 < len(fills) <= 4
    scores = [f.log_probability for f in fills]
    assert scores == sorted(scores, reverse=True)
    assert all(s <= 1e-6 for s in scores)
    assert all(len(f.values) == len(degrees_of_freedom(label)) for f in fills)
    made = from_values(label, fills[0].values, VOLUMES)
    assert made.label == label


def test_labels_filled_together_get_what_each_gets_alone() -> None:
    networks, chosen = tiny_model(networks=2).fills, [labels()[i] for i in (3, 12, 20)]
    together = search_fills(networks, chosen, width=2)
    for label, found in zip(chosen, together, strict=True):
        alone = search_fills(networks, [label], width=2)[0]
        assert np.allclose([f.log_probability for f in alone], [f.log_probability for f in found], atol=1e-4)


def test_networks_vote_with_the_mean_of_their_distributions() -> None:
    """A network beside a copy of itself changes nothing; the volume of a rock salt is decided by both."""
    first, second = tiny_model(networks=2).fills
    label = Label(225, (11, 17), ("a", "b"))
    alone, doubled = (search_fills(networks, [label])[0] for networks in ([first], [first, first]))
    assert [f.values for f in doubled] == [f.values for f in alone]
    heads = [encode_fill(label).head(())]
    with torch.no_grad():
        both, one, other = (_predict(n, heads)[0][0] for n in ([first, second], [first], [second]))
    assert np.allclose(both, (one + other) / 2)
    assert np.abs(one - other).max() > 1e-3


def test_a_value_depends_on_those_before_it_only() -> None:
    """Changing the last values leaves the hidden states of earlier tokens as they are."""
    network, label = tiny_model().fills[0], labels()[3]
    values = random_values(label, 0)
    changed = values.copy()
    changed[-2:] += 0.3
    with torch.no_grad():
        first, second = (network(FillBatch.of([encode_fill(label, v)])) for v in (values, changed))
    assert torch.allclose(first[:, :-1], second[:, :-1], atol=1e-6)  # the last token sees the changed value before it
    assert not torch.allclose(first[:, -1], second[:, -1], atol=1e-4)


def test_a_rocksalt_has_nothing_to_decide_but_its_volume() -> None:
    label = Label(225, (11, 17), ("a", "b"))
    fills = search_fills(tiny_model().fills, [label])[0]
    crystal = to_crystal(from_values(label, fills[0].values, VOLUMES))
    assert crystal.composition == {"Cl": 1, "Na": 1}
