"""The template index over a CrysDB table: which rows it holds, what it knows of elements, and that it is built once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.artifacts import Ledger
from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.table import CrysTable, TableError
from dao_core.crystal import Crystal
from dao_core.generate.templates.aflow import learned_elements
from dao_core.generate.templates.from_crysdb import crysdb_templates
from dao_core.generate.templates.index import TemplateIndexError
from dao_core.generate.templates.store import load_index
from dao_core.screening.load_models import load_templates

ROWS = {
    "near": {"e_above_hull": 0.05},
    "unknown": {},
    "far": {"e_above_hull": 0.4},
    "tested": {"e_above_hull": 0.0, "leaks_into": ["mp_20/test:structure"]},
    "copy": {"e_above_hull": 0.0, "duplicate_of": "near"},
}


def odd_crystal(shift: float) -> Crystal:
    """A cell that no prototype has: eleven atoms of two elements in a row."""
    z = np.linspace(0.0, 1.0, 11, endpoint=False) + shift * np.sin(np.arange(11))
    frac = np.stack([0.01 * np.arange(11), 0.02 * np.arange(11) ** 2 % 1, z], axis=1)
    return Crystal(np.diag([4.0, 5.0, 30.0]), frac, np.array([11] * 4 + [17] * 7))


@pytest.fixture
def table(tmp_path: Path) -> CrysTable:
    records = []
    for i, (name, facts) in enumerate(ROWS.items()):
        record = CrysRecord.from_crystal(odd_crystal(0.004 * i), material_id=name, source="test", functional="PBE")
        for column, value in facts.items():
            setattr(record, column, value)
        records.append(record)
    out = CrysTable(tmp_path / "table")
    with out.writer():
        out.publish(records_to_table(records))
    return out


def test_only_rows_near_the_hull_that_leak_nowhere_are_templates(table: CrysTable, tmp_path: Path) -> None:
    index = load_index(crysdb_templates(table, Ledger(tmp_path / "ledger")).path)
    assert {i for i in index.ids if not i.startswith("AFLOW")} == {"near", "unknown"}
    assert "version 0" in index.source
    found = index.query({"K": 4, "Br": 7}, 5)  # one prototype, so one of the two
    assert found
    assert {h.template_id for h in found} <= {"near", "unknown"}
    assert index.query({"K": 1, "Br": 1}, 1)[0].template_id.startswith("AFLOW")


def test_a_small_database_leaves_the_elements_to_what_ships(table: CrysTable, tmp_path: Path) -> None:
    index = load_index(crysdb_templates(table, Ledger(tmp_path / "ledger")).path)
    np.testing.assert_allclose(index.log_odds, learned_elements()[0], rtol=1e-5)


def test_a_version_is_indexed_once_and_a_new_one_anew(table: CrysTable) -> None:
    ledger = table.path.parent / "ledger" / "templates"
    first = load_templates(str(table.path))
    again = load_templates(str(table.path))
    assert first is not None
    assert again is not None
    assert first.ids == again.ids
    assert len([p for p in ledger.iterdir() if p.is_dir()]) == 1
    with table.writer():
        table.upsert(table.read().slice(0, 0), delete=["near"])
    newer = load_templates(str(table.path))
    assert newer is not None
    assert "near" not in newer.ids
    assert "version 1" in newer.source
    assert len([p for p in ledger.iterdir() if p.is_dir()]) == 2


def test_a_path_without_a_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateIndexError, match="neither a CrysDB table nor a template index"):
        load_templates(str(tmp_path / "nothing"))
    with pytest.raises(TableError, match="no CrysDB table"):
        crysdb_templates(CrysTable(tmp_path / "nothing"), Ledger(tmp_path / "ledger"))
