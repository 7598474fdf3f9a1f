from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.crysdb.query import QueryError, query
from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.table import CrysTable, write_records
from dao_core.crysdb.views import LEAK_LEVELS, VIEWS, ViewError, select_view
from tests.helpers.records import perovskite, record, rocksalt

FORCES = np.zeros((2, 3))
ROWS: list[CrysRecord] = [
    record("stable", rocksalt(), is_stable=True),
    record("unstable", rocksalt(), is_stable=False),
    record("unknown", rocksalt()),
    record("copy", rocksalt(), duplicate_of="stable", is_stable=True, forces=FORCES),
    record("frame", rocksalt(), relaxation="frame", forces=FORCES),
    record("relaxed", rocksalt(), relaxation="converged", parent_id="unstable", is_stable=False, forces=FORCES),
    record("leak", perovskite(), leaks_into=["mp_20:structure"], is_stable=True),
    record("polymorph", perovskite(), leaks_into=["mp_20:polymorph", "mpts_52:prototype"], is_stable=True),
    record("family", perovskite(), leaks_into=["mp_20:prototype"], is_stable=True),
]
CLEAN = {"stable", "unstable", "unknown", "relaxed"}


def names(view: str, level: str = "structure") -> set[str]:
    return set(select_view(records_to_table(ROWS), view, level=level)["material_id"].to_pylist())


@pytest.mark.parametrize(
    ("view", "level", "expected"),
    [
        ("all", "structure", CLEAN | {"leak", "polymorph", "family"}),
        ("leak_free", "none", CLEAN | {"leak", "polymorph", "family"}),
        ("leak_free", "structure", CLEAN | {"polymorph", "family"}),
        ("leak_free", "composition", CLEAN | {"family"}),
        ("leak_free", "prototype", CLEAN),
        ("relaxed", "structure", {"stable", "relaxed", "polymorph", "family"}),
        ("relaxed", "prototype", {"stable", "relaxed"}),
        ("forces", "structure", {"copy", "frame", "relaxed"}),
    ],
)
def test_who_is_in_a_view(view: str, level: str, expected: set[str]) -> None:
    assert names(view, level) == expected


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> CrysTable:
    return write_records(tmp_path_factory.mktemp("views") / "table", ROWS)


@pytest.mark.parametrize("level", LEAK_LEVELS)
def test_sql_views_are_the_same_views(table: CrysTable, level: str) -> None:
    for view in VIEWS:
        rows = query(table, f"SELECT material_id FROM crysdb_{view}", level=level)
        assert set(rows["material_id"].to_pylist()) == names(view, level), view


def test_records_of_a_view(table: CrysTable) -> None:
    assert {r.material_id for r in table.records("leak_free", level="prototype")} == CLEAN


def test_unknown_names_list_the_known_ones(table: CrysTable) -> None:
    with pytest.raises(ViewError, match="leak_free"):
        names("leakfree")
    with pytest.raises(ViewError, match="prototype"):
        names("leak_free", "strict")
    with pytest.raises(QueryError, match="prototype"):
        query(table, "SELECT 1", level="strict")


def test_no_rows_no_trouble() -> None:
    for view in VIEWS:
        assert select_view(records_to_table([]), view).num_rows == 0


def test_sql_reads_only(table: CrysTable, tmp_path: Path) -> None:
    assert query(table, "SELECT count(*) AS n FROM crysdb WHERE n_atoms = 5")["n"].to_pylist() == [3]
    with pytest.raises(QueryError, match="crysdb_leak_free"):
        query(table, "SELECT nothing FROM nowhere")
    for sql in (f"COPY crysdb TO '{tmp_path}/out.csv'", "SELECT * FROM read_text('/etc/hostname')"):
        with pytest.raises(QueryError):
            query(table, sql)
    assert not (tmp_path / "out.csv").exists()
    assert query(table, "SELECT count(*) AS n FROM crysdb")["n"].to_pylist() == [9]


def test_old_versions_can_be_asked(tmp_path: Path) -> None:
    own = write_records(tmp_path / "table", ROWS)
    with own.writer():
        own.publish(records_to_table(ROWS[:2]))
    assert query(own, "SELECT count(*) AS n FROM crysdb")["n"].to_pylist() == [2]
    assert query(own, "SELECT count(*) AS n FROM crysdb", version=0)["n"].to_pylist() == [9]
