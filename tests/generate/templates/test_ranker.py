"""The ranker's file format and its arithmetic."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dao_core.generate.templates.ranker import FEATURES, Ranker


def test_untrained_order_is_the_pooled_evidence() -> None:
    features = np.zeros((3, len(FEATURES)))
    features[:, FEATURES.index("log_share")] = [-2.0, -0.1, -30.0]
    assert Ranker.untrained().score(features) == pytest.approx([-2.0, -0.1, -30.0])


def test_json_round_trip_and_layers() -> None:
    rng = np.random.default_rng(0)
    n = len(FEATURES)
    layers = ((rng.normal(size=(n, 4)), rng.normal(size=4)), (rng.normal(size=(4, 1)), np.array([0.5])))
    ranker = Ranker(rng.normal(size=n), np.full(n, 2.0), layers, "test")
    x = rng.normal(size=(5, n))
    hidden = np.tanh((x - ranker.mean) / 2.0 @ layers[0][0] + layers[0][1])
    expected = x[:, FEATURES.index("log_share")] + (hidden @ layers[1][0] + 0.5)[:, 0]
    np.testing.assert_allclose(ranker.score(x), expected)
    np.testing.assert_allclose(Ranker.from_json(ranker.to_json()).score(x), expected)


def test_weights_of_other_features_are_refused() -> None:
    data = json.loads(Ranker.untrained().to_json())
    data["features"][0] = "something_else"
    with pytest.raises(ValueError, match="other features"):
        Ranker.from_json(json.dumps(data))
