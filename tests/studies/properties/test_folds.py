"""Folds: no shared formula, nothing without a value, each loss counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dao_core.crystal import Crystal
from dao_core.studies.properties.folds import FOLDS, read_folds, separated, shortened
from dao_core.studies.study import StudyError
from dao_core.training.property_data import PropertyRows
from tests.helpers.networks import random_crystals


def rows(groups: list[str]) -> PropertyRows:
    crystal = random_crystals(0, (2,))[0]
    return PropertyRows([crystal] * len(groups), np.arange(len(groups), dtype=float), groups, {"no value": 1})


def table(crystals: list[Crystal], **columns: object) -> pd.DataFrame:
    return pd.DataFrame({
        "atomic_numbers": [c.atomic_numbers for c in crystals],
        "lattice": [c.lattice.ravel() for c in crystals],
        "frac_coords": [c.frac_coords.ravel() for c in crystals],
        **columns,
    })  # fmt: skip


names = st.lists(st.sampled_from("ABCDEFGHIJ"), min_size=2, max_size=12)


@given(names, names, names)
def test_separated_folds_share_nothing_and_every_lost_row_is_counted(a: list[str], b: list[str], c: list[str]) -> None:
    folds = dict(zip(FOLDS, map(rows, (a, b, c)), strict=True))
    try:
        found = separated(folds)
    except StudyError:
        return
    kept = [set(r.groups) for r in found.values()]
    assert not kept[0] & kept[1]
    assert not kept[2] & (kept[0] | kept[1])
    assert found["train"].groups == a
    for name, given_groups in zip(FOLDS, (a, b, c), strict=True):
        lost = found[name].refused.get("formula of another fold", 0)
        assert len(found[name].crystals) + lost == len(given_groups)
        assert found[name].refused["no value"] == 1
        assert len(found[name].labels) == len(found[name].crystals)


def test_a_fold_without_a_formula_of_its_own_is_refused() -> None:
    with pytest.raises(StudyError, match="0 rows of the fold test have a formula of their own"):
        separated(dict(zip(FOLDS, map(rows, (["A", "B"], ["C", "D"], ["A", "D"])), strict=True)))


def test_missing_infinite_and_non_positive_moduli_are_dropped_with_counts(tmp_path: Path) -> None:
    folder = tmp_path / "properties/aflow"
    folder.mkdir(parents=True)
    crystals = [c.niggli() for c in random_crystals(0, (2, 3, 4, 5, 6))]
    values = [np.nan, np.inf, 0.0, 50.0, 60.0]
    for fold in FOLDS:
        table(crystals, bulk_modulus=values).to_parquet(folder / f"bulk_modulus_{fold}.parquet")
    found = read_folds(tmp_path, "bulk_modulus", 5)["train"]
    assert found.labels.tolist() == [50.0]
    assert found.refused == {"no value": 2, "more than 5 atoms": 1, "no logarithm": 1}


def test_labels_of_mp_2018_get_the_folds_of_mp_20_by_id(tmp_path: Path) -> None:
    (tmp_path / "properties").mkdir()
    (tmp_path / "mp_20").mkdir()
    crystals = [c.niggli() for c in random_crystals(0, (2, 3, 4))]
    for i, name in enumerate(("train", "val", "test_public")):
        table(crystals, material_id=[f"m{i}a", f"m{i}b", f"m{i}c"]).to_parquet(tmp_path / f"mp_20/{name}.parquet")
    ids = [f"m{i}{x}" for i in range(3) for x in "ab"]
    labels = pd.DataFrame({"material_id": ids, "band_gap": [0.0, 1.0, 2.0, 3.0, 4.0, np.nan]})
    labels.to_parquet(tmp_path / "properties/mp_2018.parquet")
    found = read_folds(tmp_path, "band_gap", 20)
    assert [found[f].labels.tolist() for f in FOLDS] == [[0.0, 1.0], [2.0, 3.0], [4.0]]
    assert found["test"].refused == {"no value": 1}


def test_fewer_rows_are_the_first_of_more() -> None:
    full = rows([str(i) for i in range(20)])
    few, more = shortened(full, 5, 3), shortened(full, 12, 3)
    assert more.groups[:5] == few.groups
    assert few.groups != full.groups[:5]
