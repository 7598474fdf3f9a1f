"""What a training sees depends on the content of the database, not on the order of its files."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.table import CrysTable, TableRecord
from dao_core.generate.sampler import Generator
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_generator import fit_generator
from tasks.training import _records, fit_generator_stage
from tests.helpers.benchmark_targets import rocksalt
from tests.helpers.small_runs import crystals
from tests.helpers.training import TINY


def test_a_generator_trains_with_the_templates_of_its_own_data(tmp_path: Path) -> None:
    salts = [(3, 9, 4.0), (11, 17, 5.6), (19, 35, 6.6), (37, 53, 7.3)]
    rows = [
        CrysRecord.from_crystal(
            rocksalt(*s), material_id=f"emt-{i}", source="emt", functional="EMT", energy_per_atom=-1.0
        )
        for i, s in enumerate(salts)
    ]
    table = CrysTable(tmp_path / "table")
    record = TableRecord(str(table.path), table.publish([records_to_table(rows)]), "key", {})
    config = TrainingConfig(**{**TINY, "max_steps": 2, "pairs": 4, "flow": {"seeded_share": 1.0}})
    rows_seen = []

    @wraps(fit_generator)
    def fit(*args: Any, **kwargs: Any) -> dict[str, Any]:
        rows_seen.append(args[0].template_rows)
        return fit_generator(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dao_core.training.fit_generator.fit_generator", fit)
        done = fit_generator_stage(record, config, str(tmp_path), view="leak_free")
    assert rows_seen[0].shape[0] == 4
    assert (rows_seen[0] >= 0).all()
    assert Generator.load(done.file("checkpoint")).elements == {3, 9, 11, 17, 19, 35, 37, 53}


def test_rows_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    rows = [
        CrysRecord.from_crystal(c, material_id=f"emt-{i}", source="emt", functional="EMT", energy_per_atom=-1.0)
        for i, c in enumerate(crystals(6))
    ]
    seen = []
    for name, order in (("one", rows), ("two", rows[::-1])):
        table = CrysTable(tmp_path / name)
        version = table.publish([records_to_table(order[:3]), records_to_table(order[3:])])
        seen.append([r.material_id for r in _records(TableRecord(str(table.path), version, "key", {}), "leak_free")])
    assert seen[0] == seen[1] == [f"emt-{i}" for i in range(6)]
