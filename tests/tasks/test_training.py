"""What a training sees depends on the content of the database, not on the order of its files."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.table import CrysTable, TableRecord
from dao_core.crystal import Crystal
from dao_core.generate.sampler import Generator
from dao_core.models.checkpoint_io import load_checkpoint
from dao_core.training.card import TrainingDataError, is_held_out
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_generator import fit_generator
from tasks.config import CampaignConfig
from tasks.training import _predictor_data, _records, fit_generator_stage
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


def labelled(functional: str, n: int, crystal: Crystal | None = None) -> list[CrysRecord]:
    """Rows of `n` formulas, or `n` rows of one crystal."""
    return [
        CrysRecord.from_crystal(
            crystal or rocksalt(3, 10 + i, 4.0), material_id=f"{functional}-{i}", source="emt", functional=functional,
            formation_energy_per_atom=-1.0,
        )
        for i in range(n)
    ]  # fmt: skip


def test_the_commonest_functional_is_the_reference_unless_the_settings_name_one() -> None:
    rows, plain = labelled("ABC", 3) + labelled("PBE", 20), TrainingConfig(**TINY)
    assert _predictor_data(rows, plain, None).sources == ["PBE", "ABC"]
    assert _predictor_data(rows, plain.model_copy(update={"reference": "ABC"}), None).sources == ["ABC", "PBE"]
    with pytest.raises(TrainingDataError, match=r"reference: no row to train on has .*'SCAN', only ABC, PBE"):
        _predictor_data(rows, plain.model_copy(update={"reference": "SCAN"}), None)
    earlier = load_checkpoint("predictor")
    assert _predictor_data(rows, plain, earlier).sources == ["PBE", "ABC"]
    earlier.config["energy_scale"]["sources"] = ["ABC", "PBE"]
    assert _predictor_data(rows, plain, earlier).sources == ["ABC", "PBE"]


def test_a_table_of_one_material_trains_with_all_its_rows() -> None:
    titanium = Crystal(np.eye(3) * 2.8, np.zeros((1, 3)), np.array([22]))
    rows = labelled("PBE", 3, titanium)
    assert all(is_held_out(r) for r in rows)
    data = _predictor_data(rows, TrainingConfig(**TINY), None)
    assert len(data.train) == 3
    assert data.validation is None


def test_a_campaign_refuses_what_only_a_predictor_follows() -> None:
    settings = yaml.safe_load((Path(__file__).parents[2] / "configs" / "campaign-demo.yaml").read_text())
    settings["stage2"]["grow"] = {"tensor_width": 4}
    with pytest.raises(ValidationError, match="grow is a setting of predictors"):
        CampaignConfig.model_validate(settings)


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
