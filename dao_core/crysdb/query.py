"""SQL over the table through DuckDB: read only, no access to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dao_core.crysdb.table import CrysTable
from dao_core.crysdb.views import LEAK_LEVELS, VIEWS, view_condition

if TYPE_CHECKING:
    import pyarrow as pa


class QueryError(ValueError):
    """The SQL could not be run; the message is DuckDB's, with the names that exist."""


def query(table: CrysTable, sql: str, *, version: int | None = None, level: str = "structure") -> pa.Table:
    """The result of a SELECT.

    Args:
        table: What is asked: `crysdb` is every row; `crysdb_all`, `crysdb_leak_free`, `crysdb_relaxed` and
            `crysdb_forces` are its views.
        sql: In DuckDB's dialect.
        version: Of the table; default: the newest.
        level: What counts as a leak in the views.

    Raises:
        QueryError: SQL that does not run.
        TableError: There is no such table or version.
    """
    import duckdb

    if level not in LEAK_LEVELS:
        raise QueryError(f"no leak level {level!r}: use one of {', '.join(LEAK_LEVELS)}")
    dataset = table.dataset(version)
    connection = duckdb.connect()
    try:
        connection.register("crysdb", dataset)
        for view in VIEWS:
            connection.execute(
                f"CREATE VIEW crysdb_{view} AS SELECT * FROM crysdb WHERE {view_condition(view, level=level)}"
            )
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        relation = connection.sql(sql)
        if relation is None:
            raise QueryError("only SELECT gives a result: the table is written by `dao crysdb build` alone")
        return relation.to_arrow_table()
    except duckdb.Error as error:
        names = ", ".join(["crysdb", *(f"crysdb_{v}" for v in VIEWS)])
        raise QueryError(
            f"{error}\nTables: {names}; columns: see docs/crysdb.md or SELECT * FROM crysdb LIMIT 1"
        ) from error
    finally:
        connection.close()
