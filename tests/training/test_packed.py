"""Packed data and its batches."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from dao_core.training.packed import PackedCrystals, SizedBatches
from tests.helpers.networks import random_crystals


def packed(n: int = 40) -> PackedCrystals:
    sizes = tuple(np.random.default_rng(0).integers(1, 12, n).tolist())
    return PackedCrystals.from_crystals(random_crystals(0, sizes), energy=np.arange(n, dtype=float))


def test_rows_come_back_as_they_went_in(tmp_path: Path) -> None:
    data = packed()
    data.save(tmp_path / "d.npz")
    again = PackedCrystals.load(tmp_path / "d.npz")
    sizes = tuple(data.n_atoms.tolist())
    for row, crystal in enumerate(random_crystals(0, sizes)):
        np.testing.assert_allclose(again.crystal(row).frac_coords, crystal.frac_coords, atol=1e-6)
        np.testing.assert_array_equal(again.crystal(row).atomic_numbers, crystal.atomic_numbers)
    batch = again.gather(np.array([3, 17]))
    assert batch.labels["energy"].tolist() == [3.0, 17.0]
    assert batch.crystals.n_atoms.tolist() == [sizes[3], sizes[17]]


def test_an_epoch_holds_every_row_once_and_respects_the_limits() -> None:
    batches = SizedBatches(packed(), batch_size=8, seed=1, max_pairs=300)
    rows = np.concatenate(batches.epoch(0))
    assert sorted(rows.tolist()) == list(range(40))
    for b in batches.epoch(0):
        assert len(b) <= 8
        assert len(b) == 1 or len(b) * batches.data.n_atoms[b].max() ** 2 <= 300
    assert not np.array_equal(rows, np.concatenate(batches.epoch(1)))


def test_a_resumed_stream_continues_where_it_stopped() -> None:
    whole = [b.rows.tolist() for b in itertools.islice(SizedBatches(packed(), batch_size=8, seed=1), 20)]
    resumed = [b.rows.tolist() for b in itertools.islice(SizedBatches(packed(), batch_size=8, seed=1, start=13), 7)]
    assert whole[13:] == resumed


def test_ranks_share_the_stream_without_overlap() -> None:
    whole = [b.rows.tolist() for b in itertools.islice(SizedBatches(packed(), batch_size=8, seed=1), 8)]
    parts = []
    for rank in range(2):
        stream = SizedBatches(packed(), batch_size=8, seed=1)
        stream.rank, stream.world = rank, 2
        parts.append([b.rows.tolist() for b in itertools.islice(stream, 4)])
    assert [x for pair in zip(*parts, strict=True) for x in pair] == whole


def test_taken_rows_keep_structures_and_labels() -> None:
    data = packed()
    some = data.take(np.array([7, 2, 31]))
    assert some.labels["energy"].tolist() == [7.0, 2.0, 31.0]
    for k, row in enumerate((7, 2, 31)):
        np.testing.assert_array_equal(some.crystal(k).frac_coords, data.crystal(row).frac_coords)
        np.testing.assert_array_equal(some.crystal(k).atomic_numbers, data.crystal(row).atomic_numbers)
