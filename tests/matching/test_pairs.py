"""The pool around the matcher: order, duplicates, failures, time limit."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from dao_core.crystal import Crystal
from dao_core.matching import pairs as matching
from dao_core.matching.pairs import MatchEffort, Pair, match_pairs
from dao_core.matching.rms import Comparison
from tests.helpers.structures import cesium_chloride, perovskite, rocksalt, rutile, shaken


def test_results_keep_the_order_and_name_their_reason() -> None:
    salt, near = rocksalt(), shaken(rocksalt(), 1)
    predicted = [near, None, cesium_chloride("Na", "Cl"), perovskite(), salt]
    found, n_ok, n_failed, reasons = match_pairs(predicted=predicted, reference=[salt] * 5)
    assert [c.reason for c in found] == ["matched", "none", found[2].reason, "cell_size", "matched"]
    assert found[2].rms is None
    assert found[0].rms is not None
    assert 0 < found[0].rms < 0.3
    assert found[4].rms == pytest.approx(0.0, abs=1e-6)
    assert (n_ok, n_failed) == (5, 0)
    assert sum(reasons.values()) == 5


def test_wrong_elements_are_called_composition() -> None:
    found = match_pairs(predicted=[rocksalt("K", "Cl")], reference=[rocksalt()])[0]
    assert found[0].reason == "composition"


def test_equal_pairs_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = matching.compare_chunk

    def counting(pairs: list[tuple[Crystal | None, Crystal]], timeout_s: float) -> list[Comparison]:
        seen.append(len(pairs))
        return real(pairs, timeout_s)

    monkeypatch.setattr(matching, "compare_chunk", counting)
    found = match_pairs(predicted=[shaken(rocksalt(), 2)] * 7, reference=[rocksalt()] * 7)[0]
    assert sum(seen) == 1
    assert len({c.rms for c in found}) == 1
    assert len(found) == 7


def test_two_processes_give_what_one_gives() -> None:
    predicted = [shaken(perovskite(), i) for i in range(70)]
    reference = [perovskite()] * 70
    alone = match_pairs(predicted=predicted, reference=reference)
    assert match_pairs(predicted=predicted, reference=reference, effort=MatchEffort(processes=2)) == alone


def test_a_pair_over_its_time_fails_alone() -> None:
    found, n_ok, n_failed, reasons = match_pairs(
        predicted=[shaken(perovskite(), 900), None], reference=[perovskite()] * 2, effort=MatchEffort(timeout_s=1e-5)
    )
    assert [c.reason for c in found] == ["timeout", "none"]
    assert (n_ok, n_failed) == (1, 1)
    assert reasons == {"timeout": 1, "none": 1}


def test_a_limit_holds_in_any_thread() -> None:
    pairs = {"predicted": [shaken(perovskite(), 901)], "reference": [perovskite()]}
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(match_pairs, **pairs, effort=MatchEffort(timeout_s=1e-5)).result()[0]  # type: ignore[arg-type]
    assert [c.reason for c in found] == ["timeout"]


def stubborn(pairs: Sequence[Pair]) -> list[Comparison]:
    """Stands in for a comparison that never looks at the clock, or takes its process with it."""
    for predicted, _ in pairs:
        while predicted is not None and predicted.n_atoms == 5:
            pass
        if predicted is not None and predicted.n_atoms == 6:
            os.kill(os.getpid(), signal.SIGKILL)
    return [Comparison(None, None, "sites")] * len(pairs)


def test_a_process_that_hangs_or_dies_fails_its_pair_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "GRACE_S", 0.0)
    pairs: list[Pair] = [(c, rocksalt()) for c in (rocksalt(), perovskite(), None, rutile(), rocksalt())]
    found = matching.in_processes(stubborn, pairs, MatchEffort(processes=2, timeout_s=0.5))
    assert [c.reason for c in found] == ["sites", "timeout", "sites", "failed", "sites"]


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 references"):
        match_pairs(predicted=[None], reference=[rocksalt(), rocksalt()])
