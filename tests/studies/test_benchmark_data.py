"""Splits as targets: stand-ins marked, rows that are no crystal counted, missing files named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dao_core.studies.benchmark_data import (
    BenchmarkDataError,
    benchmark_targets,
    distinct_targets,
    read_targets,
    training_items,
)
from dao_core.studies.csp_benchmark import Target
from tests.helpers import benchmark_files
from tests.helpers.benchmark_targets import cesium_chloride, rocksalt
from tests.helpers.structures import reset


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


def test_random_targets_of_a_smaller_number_begin_those_of_a_larger_one(tmp_path: Path) -> None:
    crystals = {f"x{i}": rocksalt(11, 17, 5.0 + 0.1 * i) for i in range(12)}
    benchmark_files.write(tmp_path / "perov_5/test_public.parquet", crystals)
    ids = [[t.id for t in benchmark_targets(tmp_path, "perov-5", n=n)] for n in (0, 4, 7)]
    assert (set(ids[0]), ids[0][:4], ids[0][:7]) == (set(crystals), ids[1], ids[2])
    assert ids[0] != sorted(ids[0])


def test_polymorphs_come_with_all_structures_of_their_composition(tmp_path: Path) -> None:
    salts = [("a", 11), ("b", 19), ("c", 37), ("d", 55)]
    crystals = {f"{name}1": rocksalt(z, 17) for name, z in salts}
    crystals |= {f"{name}2": cesium_chloride(z, 17) for name, z in salts[:3]}
    benchmark_files.write(tmp_path / "mp_20/test_public.parquet", crystals)
    everything = {t.id for t in benchmark_targets(tmp_path, "polymorphs")}
    assert everything == {"a1", "a2", "b1", "b2", "c1", "c2"}  # d has one structure
    some = [t.id for t in benchmark_targets(tmp_path, "polymorphs", n=3)]
    assert sorted(name[1] for name in some) == ["1", "1", "2", "2"]


def test_the_same_crystal_in_another_cell_is_a_repeat() -> None:
    once, again, other = rocksalt(11, 17), reset(rocksalt(11, 17), 3), cesium_chloride(11, 17)
    targets = [Target("once", once), Target("again", again), Target("other", other)]
    assert [t.id for t in distinct_targets(targets)] == ["once", "other"]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkDataError, match=r"perov_5/train\.parquet is missing: --data names the folder"):
        list(training_items(tmp_path, "perov-5"))
    with pytest.raises(BenchmarkDataError, match="no benchmark 'qm9': use one of mp-20"):
        read_targets(tmp_path, "qm9")
