"""Benchmarks: shards keep compositions together, hard cases are what the index says, seeds and shards add up."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from dao_core.generate.templates.index import TemplateIndex, TemplateIndexError
from dao_core.screening.load_models import load_generator
from dao_core.studies.benchmark_figures import cards, coverage, hard_cases, merged
from dao_core.studies.csp_benchmark import (
    BenchmarkSettings,
    Models,
    Target,
    predict,
    run_shard,
    shards,
)
from tests.helpers.benchmark_targets import cesium_chloride, perovskite, rocksalt

TARGETS = [
    Target("a", rocksalt(11, 17)),
    Target("b", rocksalt(19, 35, 6.6)),
    Target("c", cesium_chloride(11, 17), exact=False),
    Target("d", perovskite()),
]


@pytest.fixture(scope="module")
def index() -> TemplateIndex:
    known = [("k1", rocksalt(11, 17)), ("k2", rocksalt(3, 9, 4.0)), ("k3", rocksalt(37, 53, 7.3))]
    return TemplateIndex.build(known, source="test")


def test_a_composition_stays_in_one_shard_and_nothing_is_lost() -> None:
    parts = shards(TARGETS, BenchmarkSettings(shard_size=2, k=1))
    assert [[t.id for t in p] for p in parts] == [["a", "c"], ["b", "d"]]
    one_by_one = shards(TARGETS, BenchmarkSettings(shard_size=1, k=1, metre_pairs=0))
    assert [[t.id for t in p] for p in one_by_one] == [["a"], ["c"], ["b"], ["d"]]
    limited = shards(TARGETS, BenchmarkSettings(limit=2, k=1))
    assert sum(map(len, limited)) == 2
    assert limited == shards(TARGETS, BenchmarkSettings(limit=2, k=1, seeds=(7,)))


def test_hard_cases(index: TemplateIndex) -> None:
    rows = hard_cases(TARGETS, index)
    assert rows["all"] == [0, 1, 2, 3]
    assert rows["exact"] == [0, 1, 3]
    assert rows["composition unseen"] == [1, 3]
    assert rows["prototype unseen"] == [2, 3]
    assert rows["more than 3 elements"] == [3]


def test_templates_leave_out_the_target_s_own_entry(index: TemplateIndex) -> None:
    settings = BenchmarkSettings(k=3)
    own = Target("k1", rocksalt(11, 17))
    row = predict([own, TARGETS[3]], "templates", Models(templates=index), settings, 0).rows
    assert row[0]
    assert all(p.origin in ("k2", "k3") for p in row[0])
    assert row[1] == []  # no template has this formula: a miss, not an error


def test_few_mixed_predictions_are_all_de_novo(index: TemplateIndex) -> None:
    models = Models(index, load_generator())
    row = predict([TARGETS[1]], "mixed", models, BenchmarkSettings(k=2, free=6), 0).rows[0]
    assert [p.origin for p in row] == ["de novo", "de novo"]
    with pytest.raises(TemplateIndexError, match="k = -1"):
        index.query({"K": 1, "Br": 1}, -1)


def test_a_shard_is_scored_with_polymorphs_for_metre(index: TemplateIndex) -> None:
    settings = BenchmarkSettings(k=3)
    result = run_shard(TARGETS, "templates", Models(templates=index), settings, 0)
    assert [any(c.rms is not None for c in row) for row in result.table] == [True, True, False, False]
    assert result.metre is not None
    assert np.isfinite(result.metre).tolist() == [True, True, False, False]
    card = cards(TARGETS, result, hard_cases(TARGETS, index), (1,))
    assert card["all"].unfiltered[0].match_rate == 50.0
    assert card["all"].metre == 50.0
    assert card["composition unseen"].n == 2
    assert card["prototype unseen"].unfiltered[0].match_rate == 0.0
    assert card["all"].n == card["all"].n_ok + card["all"].n_failed
    assert coverage(TARGETS, result) == {"n_targets": 4, "with_all": 3, "with_none": 1, "template": 6}


def test_metre_is_left_out_where_it_would_cost_too_much(index: TemplateIndex) -> None:
    settings = BenchmarkSettings(k=3, metre_pairs=0)
    result = run_shard(TARGETS, "templates", Models(templates=index), settings, 0)
    assert result.metre is None
    assert cards(TARGETS, result, {"all": [0]}, (1,))["all"].metre is None
    assert merged([result, result]).metre is None


def test_a_column_without_its_model_is_named() -> None:
    with pytest.raises(ValueError, match="column 'templates' needs a model"):
        predict(TARGETS, "templates", Models(), BenchmarkSettings(), 0)
    with pytest.raises(ValueError, match="column 'baseline' needs a model"):
        predict(TARGETS, "baseline", Models(), BenchmarkSettings(), 0)


@pytest.mark.parametrize("wrong", [{"columns": ()}, {"seeds": (1, 1)}, {"columns": ("oracle",)}, {"k": 0}])
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        BenchmarkSettings.model_validate(wrong)
