"""Which compositions are studied: repeats are one polymorph, what the generator has seen is left out with counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dao_core.crystal import Crystal
from dao_core.studies.polymorphs.compositions import (
    PolymorphSet,
    Reference,
    choose,
    counts_by_size,
    group,
    leaks_into_training,
    set_from_row,
    set_to_row,
)
from dao_core.studies.study import StudyError
from tests.helpers.benchmark_targets import cesium_chloride, perovskite, rocksalt


def references() -> list[Reference]:
    return [
        Reference("b", rocksalt(11, 17), -1.0), Reference("a", rocksalt(11, 17, 5.65)),
        Reference("c", cesium_chloride(11, 17), -0.9), Reference("d", perovskite()), Reference("e", rocksalt(19, 35)),
    ]  # fmt: skip


def test_repeats_of_a_structure_are_one_polymorph() -> None:
    sets, counts = group(references())
    assert [(s.formula, [r.id for r in s.references]) for s in sets] == [("NaCl", ["a", "c"])]
    assert counts == {"references_that_repeat_another": 1}
    assert counts_by_size(sets) == {"2": 1}


def test_cells_are_different_contents_smallest_first() -> None:
    double = rocksalt(11, 17)
    wide = Crystal(double.lattice * np.array([[2.0], [1], [1]]), np.repeat(double.frac_coords, 2, axis=0) * [0.5, 1, 1]
                   + np.tile([[0, 0, 0], [0.5, 0, 0]], (2, 1)), np.repeat(double.atomic_numbers, 2))  # fmt: skip
    item = PolymorphSet("NaCl", (Reference("x", wide), Reference("y", double)))
    assert item.cells == [{"Cl": 1, "Na": 1}, {"Cl": 2, "Na": 2}]
    assert item.n_atoms == 4


def test_the_leak_audit_finds_a_composition_in_the_training_rows(tmp_path: Path) -> None:
    rows = [("t1", cesium_chloride(11, 17, 3.3)), ("t2", rocksalt(3, 9))]
    frame = pd.DataFrame({
        "material_id": [name for name, _ in rows],
        "atomic_numbers": [c.atomic_numbers for _, c in rows],
        "lattice": [c.lattice.ravel() for _, c in rows],
        "frac_coords": [c.frac_coords.ravel() for _, c in rows],
    })  # fmt: skip
    frame.to_parquet(tmp_path / "train.parquet")
    found, table = leaks_into_training(tmp_path / "train.parquet", ["NaCl", "SrTiO3"])
    assert found == {"NaCl": ["t1"]}
    assert table[0]["rows_structure"] == 1
    assert table[0]["rows"] == 2
    with pytest.raises(StudyError, match="trained_on"):
        leaks_into_training(tmp_path / "missing.parquet", ["NaCl"])


def test_what_was_seen_or_is_too_large_is_left_out_with_counts() -> None:
    base = group(references())[0][0]
    many = replace(base, formula="many", references=(*base.references, Reference("f", rocksalt(11, 17, 4.0))))
    sets = [many, base, replace(base, formula="seen", seen=("t",)), *(replace(base, formula=f"s{i}") for i in range(4))]
    chosen, left_out = choose(sets, 3, 20)
    assert chosen[0] is many
    assert len(chosen) == 3
    assert left_out == {"seen_in_training": 1, "cell_too_large": 0, "not_drawn": 3}
    assert choose(sets, 0, 1) == ([], {"seen_in_training": 1, "cell_too_large": 6, "not_drawn": 0})
    assert choose(sets, 3, 20)[0] == chosen


def test_a_set_survives_its_file() -> None:
    item = group(references())[0][0]
    again = set_from_row(set_to_row(item))
    assert again.formula == item.formula
    assert [r.id for r in again.references] == ["a", "c"]
    assert [r.energy_per_atom for r in again.references] == [None, -0.9]
    row = set_to_row(item)
    row["references"][0]["lattice"][0] = [np.nan, 0, 0]
    with pytest.raises(StudyError, match="damaged"):
        set_from_row(row)
