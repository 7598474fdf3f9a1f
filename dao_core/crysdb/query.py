"""SQL over the table through DuckDB: read only, no access to files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dao_core.crysdb.table import CrysTable
from dao_core.crysdb.views import LEAK_LEVELS, VIEWS, view_condition

if TYPE_CHECKING:
    import pyarrow as pa


class QueryError(ValueError):
    """The SQL could not be run; the message is DuckDB's, with the names that exist."""


def distinct_names(names: Sequence[str]) -> list[str]:
    """Names of columns, a repeated one with a number behind it (`a`, `a_2`), so that no value hides another."""
    out: list[str] = []
    for name in names:
        number, own = 2, name
        while own in out or (own != name and own in names):
            own, number = f"{name}_{number}", number + 1
        out.append(own)
    return out


def query(table: CrysTable, sql: str, *, version: int | None = None, level: str = "structure") -> pa.Table:
    """The result of a SELECT.

    Args:
        table: What is asked: `crysdb` is every row; `crysdb_all`, `crysdb_leak_free`, `crysdb_relaxed` and
            `crysdb_forces` are its views.
        sql: In DuckDB's dialect.
        version: Of the table; default: the newest.
        level: What counts as a leak in the views.

    Returns:
        The rows; of columns with one name each but the first has a number behind it.

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
        statements = connection.extract_statements(sql)
        if len(statements) > 1:  # DuckDB would run all and answer the last one only
            raise QueryError(f"{len(statements)} statements: a query is one SELECT, ask each by itself")
        relation = connection.sql(sql)
        if relation is None:
            raise QueryError("only SELECT gives a result: the table is written by `dao crysdb build` alone")
        found = relation.to_arrow_table()
        return found.rename_columns(distinct_names(found.column_names))
    except duckdb.Error as error:
        names = ", ".join(["crysdb", *(f"crysdb_{v}" for v in VIEWS)])
        problem = " ".join(str(error).split("LINE ")[0].split())
        raise QueryError(
            f"{problem} - tables: {names}; columns: see docs/crysdb.md or SELECT * FROM crysdb LIMIT 1"
        ) from error
    finally:
        connection.close()
