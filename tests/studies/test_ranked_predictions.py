"""What a search answers to benchmark targets: cells of the right size, the same each time, nothing from the targets."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.registry import load_potential
from dao_core.generate.templates.index import TemplateIndex
from dao_core.screening.load_models import SearchModels, load_generator
from dao_core.studies.csp_benchmark import BenchmarkSettings, Target, ranked_predictions
from tests.helpers.benchmark_targets import rocksalt


def test_ranked_predictions_have_the_target_s_cell_and_come_from_an_index_without_it() -> None:
    known = [("k1", rocksalt(11, 17)), ("k2", rocksalt(3, 9, 4.0)), ("k3", rocksalt(37, 53, 7.3))]
    models = SearchModels(load_potential(), load_generator(), TemplateIndex.build(known, source="test"))
    settings = BenchmarkSettings(k=4, proposals=6, relax_steps=4)
    single = Target("b", rocksalt(19, 35, 6.6))
    doubled = rocksalt(19, 35, 6.6)
    doubled = Crystal(
        doubled.lattice * [[2], [1], [1]],
        np.vstack([doubled.frac_coords, doubled.frac_coords + np.eye(3)[0]]) / [2, 1, 1],
        np.tile(doubled.atomic_numbers, 2),
    )
    rows = ranked_predictions([single, Target("two units", doubled)], settings, 0, models)
    assert all(2 <= len(row) <= 4 for row in rows)  # six proposals, those that relax to the same structure merged
    found = [[p.crystal for p in row if p.crystal is not None] for row in rows]
    assert {c.composition["K"] / c.composition["Br"] for row in found for c in row} == {1}
    assert max(c.n_atoms for c in found[0]) == 2
    assert max(c.n_atoms for c in found[1]) == 4
    assert {p.origin for p in rows[0]} & {"k1", "k2", "k3"}
    again = [p.crystal for p in ranked_predictions([single], settings, 0, models)[0] if p.crystal is not None]
    assert [c.frac_coords.tolist() for c in again] == [c.frac_coords.tolist() for c in found[0]]
    with pytest.raises(ValueError, match="index holds the targets"):
        ranked_predictions([Target("k2", rocksalt(3, 9))], settings, 0, models)
