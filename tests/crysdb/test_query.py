from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dao_core.crysdb.query import QueryError, distinct_names, query
from dao_core.crysdb.table import CrysTable, TableError, write_records
from tests.helpers.records import salt_records


@pytest.fixture
def table(tmp_path: Path) -> CrysTable:
    return write_records(tmp_path / "table", salt_records())


def test_columns_of_one_name_keep_their_own_values(table: CrysTable) -> None:
    found = query(table, "SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS a FROM crysdb LIMIT 1")
    assert found.to_pylist() == [{"a": 1, "a_3": 2, "a_2": 3, "a_4": 4}]
    joined = query(table, "SELECT * FROM crysdb x JOIN crysdb y USING (source) LIMIT 1")
    assert len(set(joined.column_names)) == joined.num_columns


@pytest.mark.parametrize("sql", ["SELECT count(*) FROM crysdb; SELECT 2", "CREATE TABLE x (a INT); SELECT 1; SELECT 2"])
def test_more_than_one_statement_is_refused(table: CrysTable, sql: str) -> None:
    with pytest.raises(QueryError, match=rf"^{sql.count(';') + 1} statements: a query is one SELECT"):
        query(table, sql)
    assert query(table, "SELECT count(*) AS n FROM crysdb;").to_pylist() == [{"n": len(salt_records())}]


@pytest.mark.parametrize("version", ["0", 0.0, [0]])
def test_a_version_that_is_no_number_is_refused(table: CrysTable, version: Any) -> None:
    with pytest.raises(TableError, match=r"^version .* is no number: give one of 0 to 0, or None for the newest"):
        query(table, "SELECT 1", version=version)


def test_names_are_told_apart() -> None:
    assert distinct_names(["x", "x", "y", "x"]) == ["x", "x_2", "y", "x_3"]


@pytest.mark.parametrize("version", [-1, 1, 99, 2**70])
def test_a_version_that_is_not_there_is_named_with_those_that_are(table: CrysTable, version: int) -> None:
    with pytest.raises(TableError, match=rf"has no version {version}: use one of 0 to 0"):
        query(table, "SELECT 1", version=version)


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT nothing FROM crysdb", "", "SELECT 1; SELECT", "SELECT 1/'x'"])
def test_wrong_sql_is_one_line(table: CrysTable, sql: str) -> None:
    with pytest.raises(QueryError) as error:
        query(table, sql)
    assert "\n" not in str(error.value)
