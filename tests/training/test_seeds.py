"""Template pairs: every pair lands at its own training row, in the order of its template's atoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from dao_core.generate.templates.training_pairs import SeedPair, write_pairs
from dao_core.models.lattice_base import LatticeBase
from dao_core.training import seeds
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_generator import GeneratorData, GeneratorObjective, _pick_template
from dao_core.training.packed import PackedCrystals
from dao_core.training.seeds import SeedError, build_pairs, load_pairs
from tests.helpers.benchmark_targets import rocksalt
from tests.helpers.networks import random_crystals


def pair(target_id: str, crystal: object, moved: float) -> SeedPair:
    return SeedPair(
        target_id, "t", 0, 0.0, crystal, (crystal.lattice * 1.02, crystal.frac_coords + moved), 0.01  # type: ignore[attr-defined]
    )  # fmt: skip


def test_pairs_reach_their_rows(tmp_path: Path) -> None:
    crystals = random_crystals(0, (2, 4, 3))
    write_pairs(
        [pair("c", crystals[2], 0.01), pair("a", crystals[0], 0.02), pair("x", crystals[1], 0.0)],
        tmp_path / "p.parquet",
    )
    templates, rows = load_pairs(tmp_path, ["a", "b", "c"])
    assert rows.squeeze(1).tolist() == [1, -1, 0]
    data = PackedCrystals.from_crystals(crystals)
    batch, known = data.gather(np.arange(3)), GeneratorData(data, templates, rows)
    everyone = torch.ones(3, dtype=torch.bool)
    template, target, has = _pick_template(batch, known, everyone, torch.Generator().manual_seed(0))
    assert template is not None
    assert has.tolist() == [True, False, True]
    torch.testing.assert_close(target.frac_coords[0, :2] - template.frac_coords[0, :2], torch.full((2, 3), 0.02))
    torch.testing.assert_close(target.lattice[2], template.lattice[2] * 1.02)
    torch.testing.assert_close(target.frac_coords[1], batch.crystals.frac_coords[1])
    assert torch.equal(target.atomic_numbers[1], batch.crystals.atomic_numbers[1])
    # a trajectory from noise keeps the structure's own cell, though a template is known
    some = torch.tensor([False, True, True])
    _, target, has = _pick_template(batch, known, some, torch.Generator().manual_seed(0))
    assert has.tolist() == [False, False, True]
    assert torch.equal(target.lattice[0], batch.crystals.lattice[0])


def test_the_seeded_objective_is_finite(tmp_path: Path) -> None:
    from tests.helpers.training import TINY

    crystals = random_crystals(1, (3, 4))
    write_pairs([pair("a", crystals[0], 0.01)], tmp_path / "p.parquet")
    templates, rows = load_pairs(tmp_path, ["a", "b"])
    config = TrainingConfig(**TINY, flow={"seeded_share": 1.0})
    from dao_core.models.build import build_network

    packed = PackedCrystals.from_crystals(crystals)
    objective = GeneratorObjective(config, LatticeBase.fit(crystals), GeneratorData(packed, templates, rows))
    batch = packed.gather(np.arange(2))
    losses = objective(build_network(config.model), batch, torch.Generator().manual_seed(0))
    assert torch.isfinite(losses["loss"])


def test_retrieved_pairs_go_on_where_they_stopped_and_leave_the_structure_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeds, "SHARD", 2)
    salts = {"LiF": (3, 9, 4.0), "NaCl": (11, 17, 5.6), "KBr": (19, 35, 6.6), "RbI": (37, 53, 7.3)}
    ids, crystals = list(salts), [rocksalt(*c) for c in salts.values()]
    assert build_pairs(ids, crystals, 4, tmp_path) == 4
    found = {p: pq.read_table(p).to_pylist() for p in sorted(tmp_path.glob("*.parquet"))}
    rows = [row for part in found.values() for row in part]
    assert {row["target_id"] for row in rows} == set(ids)
    assert all(row["template_id"] != row["target_id"] for row in rows)
    first, second = found
    second.unlink()
    written = first.stat().st_mtime_ns
    build_pairs(ids, crystals, 4, tmp_path)
    assert first.stat().st_mtime_ns == written
    assert pq.read_table(second).to_pylist() == found[second]
    templates, table = load_pairs(tmp_path, ids)
    assert len(templates) == sum(row["matched"] for row in rows) > 0
    assert (table >= 0).any(dim=1).all()


def test_a_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match="no matched pair"):
        load_pairs(tmp_path, ["a"])
