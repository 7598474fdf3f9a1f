"""What a training sees depends on the content of the database, not on the order of its files."""

from __future__ import annotations

from pathlib import Path

from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.table import CrysTable
from tasks.crysdb import TableRecord
from tasks.training import _records
from tests.flows.small import crystals


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
