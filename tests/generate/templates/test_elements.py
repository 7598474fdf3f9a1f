"""Element similarity and volumes: what the database teaches, and the fallback where it is silent."""

from __future__ import annotations

import numpy as np

from dao_core.elements import atomic_number
from dao_core.generate.templates.elements import fallback_similarity, substitution_log_odds


def _z(symbol: str) -> int:
    return atomic_number(symbol)


def test_fallback_knows_neighbours_of_the_table() -> None:
    similarity = fallback_similarity()
    np.testing.assert_allclose(similarity, similarity.T)
    assert similarity[_z("Na"), _z("K")] > similarity[_z("Na"), _z("Cl")]
    assert similarity[_z("La"), _z("Ce")] > similarity[_z("La"), _z("O")]
    assert similarity[0, 1:].max() == 0.0


def test_seen_substitutions_beat_the_fallback() -> None:
    nothing = substitution_log_odds([])
    slots = [np.array([_z("Na"), _z("Cl")])] * 50 + [np.array([_z("K"), _z("Br")])] * 50
    learned = substitution_log_odds(slots)
    assert nothing[_z("Na"), _z("K")] > nothing[_z("Na"), _z("Cl")]
    assert learned[_z("Na"), _z("Cl")] > learned[_z("Na"), _z("K")]
    assert np.isfinite(learned[1:, 1:]).all()
    assert (np.diag(learned) >= learned.max(axis=1)).all()
    np.testing.assert_allclose(learned, learned.T)
