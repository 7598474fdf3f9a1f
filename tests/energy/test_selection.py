"""The pick among candidates: features by hand, weights that learn what tells a match, ties and failures."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.energy.selection import FEATURES, Contender, Selector, pool_features


def column(pool: list[Contender], name: str) -> list[float]:
    return [round(float(v), 6) for v in pool_features(pool)[:, FEATURES.index(name)]]


def test_features_by_hand() -> None:
    pool = [
        Contender(-1.0, -1.2, 10.0, prior=2.0),
        Contender(-1.1, -1.1, 10.0),
        Contender(-1.0, -1.2, 10.05),
        Contender(-1.0, -9.0, 10.0, prior=1.0, rejected=True),
        Contender(None, None, 10.0),
    ]
    assert column(pool, "energy") == [0.0, 2.0, 0.0, 10.0, 10.0]
    assert column(pool, "drop") == [2.0, 0.0, 2.0, 0.0, 0.0]
    assert column(pool, "prior") == [2.0, 0.0, 0.0, 1.0, 0.0]
    assert column(pool, "de_novo") == [0.0, 1.0, 1.0, 0.0, 1.0]
    assert column(pool, "failed") == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert column(pool, "log_found") == [round(np.log(2), 6), 0.0, round(np.log(2), 6), 0.0, 0.0]
    assert np.isfinite(pool_features(pool)).all()


def test_energy_alone_picks_the_lowest_and_a_rejected_one_never() -> None:
    pool = [Contender(0, 0.3, 10.0), Contender(0, -5.0, 10.0, rejected=True), Contender(0, 0.1, 10.0)]
    assert Selector.energy_only().order(pool) == [2, 0, 1]
    assert Selector.energy_only().order([Contender(None, None, 10.0)] * 3) == [0, 1, 2]


def test_the_fit_finds_what_tells_a_match() -> None:
    rng = np.random.default_rng(0)
    pools, matched = [], []
    for _ in range(60):  # the energies are noise, the prior is right
        right = int(rng.integers(5))
        pools.append(
            [Contender(0.0, float(rng.normal(0, 0.1)), 10 + i, prior=float(3 * (i == right))) for i in range(5)]
        )
        matched.append([i == right for i in range(5)])
    selector = Selector.fit(pools, matched, trained_on="made up")
    picks = [selector.order(p)[0] for p in pools]
    assert np.mean([m[i] for m, i in zip(matched, picks, strict=True)]) > 0.95
    by_energy = [Selector.energy_only().order(p)[0] for p in pools]
    assert np.mean([m[i] for m, i in zip(matched, by_energy, strict=True)]) < 0.5


def test_pools_that_teach_nothing_are_refused() -> None:
    pool = [Contender(0.0, 0.0, 10.0)] * 2
    with pytest.raises(ValueError, match="nothing to learn from"):
        Selector.fit([pool, pool], [[True, True], [False, False]], trained_on="x")


def test_weights_there_and_back() -> None:
    selector = Selector(np.arange(len(FEATURES), dtype=float), "x")
    again = Selector.from_json(selector.to_json())
    np.testing.assert_allclose(again.weights, selector.weights)
    with pytest.raises(ValueError, match="other features"):
        Selector.from_json(selector.to_json().replace("drop", "fall"))
