"""Splits as targets: stand-ins marked, rows that are no crystal counted, missing files named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dao_core.studies.benchmark_data import BenchmarkDataError, read_targets, training_items


def write(path: Path, ids: list[str], edges: list[float], **columns: list[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {
        "material_id": ids,
        "lattice": [(np.eye(3) * a).ravel() for a in edges],
        "frac_coords": [np.zeros(3)] * len(ids),
        "atomic_numbers": [np.array([29])] * len(ids),
        **columns,
    }
    pd.DataFrame(rows).to_parquet(path)


def test_a_split_is_read_with_marks_and_counts(tmp_path: Path) -> None:
    write(tmp_path / "mp_20/test_public.parquet", ["a", "b", "c"], [3.0, 0.0, 4.0], exact=[True, True, False])
    targets, counts = read_targets(tmp_path, "mp-20")
    assert [(t.id, t.exact) for t in targets] == [("a", True), ("c", False)]
    assert counts == {"n_targets": 2, "n_no_crystal": 1}


def test_mpts_52_trains_on_what_it_does_not_test(tmp_path: Path) -> None:
    write(tmp_path / "mpts_52/val.parquet", ["v"], [3.0])
    write(tmp_path / "mpts_52/test_public.parquet", ["t"], [3.0])
    with pytest.raises(BenchmarkDataError, match=r"mp_structures\.parquet is missing"):
        list(training_items(tmp_path, "mpts-52"))
    write(tmp_path / "mp_structures.parquet", ["v", "x", "t", "y"], [3.0] * 4)
    assert [name for name, _ in training_items(tmp_path, "mpts-52")] == ["x", "y"]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkDataError, match=r"perov_5/train\.parquet is missing: --data names the folder"):
        list(training_items(tmp_path, "perov-5"))
    with pytest.raises(BenchmarkDataError, match="no benchmark 'qm9': use one of mp-20"):
        read_targets(tmp_path, "qm9")
