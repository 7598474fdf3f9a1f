"""`dao crysdb ...`: build the database, look at its versions, ask it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Build and query CrysDB.", no_args_is_help=True, rich_markup_mode=None)
Root = Annotated[Path, typer.Option(help="Folder of the database (table, ledger, hulls).")]
Version = Annotated[int | None, typer.Option(help="A version of the table; default: the newest.")]


@app.command()
def build(
    config: Annotated[Path, typer.Argument(help="YAML settings, such as configs/crysdb-sample.yaml.")],
    root: Root = Path("runs/crysdb"),
) -> None:
    """Build or rebuild the database and publish a version. A killed build continues with the same command.

    Example:  dao crysdb build configs/crysdb-sample.yaml --root runs/crysdb
    """
    from dao_core.crysdb.build import build as run_build
    from dao_core.crysdb.config import BuildConfig
    from flows.console import quiet_libraries, table
    from tasks.config import load_config

    settings = load_config(config, BuildConfig)
    quiet_libraries()
    report = run_build(settings, root, log=print)
    names = ("n_in", "n_refused", "n_dropped", "n_published")
    table(f"version {report.version} in {root}/table", ("source", *names),
          [(name, *(s[n] for n in names)) for name, s in report.sources.items()])  # fmt: skip
    _reasons("refused", report.refused)
    _reasons("dropped", report.dropped)
    print("views: " + ", ".join(f"{n} {view}" for view, n in report.views.items()))


def _reasons(what: str, reasons: dict[str, int], *, limit: int = 10) -> None:
    for reason, n in list(reasons.items())[:limit]:
        print(f"{what}: {n} x {reason}")


@app.command()
def sample(root: Root = Path("runs/crysdb-sample")) -> None:
    """Build the database from the sample that ships with the package, and show its data card.

    Example:  dao crysdb sample
    """
    from dao_core.crysdb.build import build as run_build
    from dao_core.crysdb.config import BuildConfig
    from dao_core.crysdb.sources.sample import sample_path
    from flows.console import quiet_libraries

    quiet_libraries()
    report = run_build(BuildConfig(), root, log=print)
    card = sample_path().with_name("sample_card.md")
    if card.exists():
        print(card.read_text())
    print(f"version {report.version} in {root}/table: " + ", ".join(f"{n} {v}" for v, n in report.views.items()))


@app.command()
def history(root: Root = Path("runs/crysdb")) -> None:
    """List the versions of the table with what each was made from.

    Example:  dao crysdb history --root runs/crysdb
    """
    import json
    from datetime import UTC, datetime

    from dao_core.crysdb.table import CrysTable
    from flows.console import table

    rows = []
    for entry in CrysTable(root / "table").history():
        facts: dict[str, Any] = json.loads(entry.get("dao", "{}"))
        when = datetime.fromtimestamp(entry["timestamp"] / 1000, UTC).isoformat(timespec="seconds")
        sources = ", ".join(f"{n}: {s['n_published']}" for n, s in facts.get("sources", {}).items())
        rows.append((entry["version"], when, sources or entry.get("operation"), facts.get("content_hash")))
    table(f"versions of {root}/table", ("version", "when", "rows by source", "content"), rows)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="SQL in DuckDB's dialect; the table is called crysdb.")],
    root: Root = Path("runs/crysdb"),
    version: Version = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows shown.")] = 50,
) -> None:
    """Ask the database in SQL.

    Example:  dao crysdb query "SELECT formula_reduced, e_above_hull FROM crysdb WHERE is_stable ORDER BY 1"
    """
    import duckdb

    from dao_core.crysdb.table import CrysTable
    from flows.console import fail, table

    connection = duckdb.connect()
    connection.register("crysdb", CrysTable(root / "table").dataset(version))
    try:
        cursor = connection.execute(sql)
    except duckdb.Error as error:
        fail(f"query: {error}")
    names = [column[0] for column in cursor.description or []]
    rows = cursor.fetchmany(limit)
    table(f"{len(rows)} rows" + (" (more with --limit)" if len(rows) == limit else ""), names, rows)
