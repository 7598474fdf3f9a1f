"""An index from a file: its structures and buckets are made when they are asked for, and are those that were saved."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from dao_core.generate.templates.index import TemplateIndex
from dao_core.generate.templates.store import load_index, save_index
from tests.helpers.small_runs import crystals


@pytest.fixture
def saved(tmp_path: Path) -> tuple[TemplateIndex, TemplateIndex]:
    index = TemplateIndex.build([(f"t{i}", c) for i, c in enumerate(crystals(12))], source="test")
    save_index(index, tmp_path)
    return index, load_index(tmp_path)


def test_structures_are_those_that_were_saved(saved: tuple[TemplateIndex, TemplateIndex]) -> None:
    index, loaded = saved
    assert len(loaded.crystals) == len(index.crystals)
    for before, after in zip(index.crystals, loaded.crystals, strict=True):
        assert np.array_equal(before.lattice, after.lattice)
        assert np.array_equal(before.frac_coords, after.frac_coords)
        assert before.symbols == after.symbols
    assert loaded.crystals[-1].symbols == index.crystals[-1].symbols
    assert [c.n_atoms for c in loaded.crystals[2:5]] == [c.n_atoms for c in index.crystals[2:5]]
    with pytest.raises(IndexError):
        loaded.crystals[len(index.crystals)]


def test_it_answers_as_before_and_in_another_process(saved: tuple[TemplateIndex, TemplateIndex]) -> None:
    index, loaded = saved
    assert set(loaded.buckets) == set(index.buckets)
    for one in (loaded, pickle.loads(pickle.dumps(loaded))):
        for cell in ({"Cu": 1, "Au": 1}, {"Ag": 3, "Pd": 1}):
            found, expected = one.query(cell, 4), index.query(cell, 4)
            assert [h.template_id for h in found] == [h.template_id for h in expected]
            assert [h.log_prior for h in found] == pytest.approx([h.log_prior for h in expected], abs=1e-2)
