"""Tasks around CrysDB: build it, and build it again with the structures that DAO-P relaxed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dao_core.artifacts import Ledger, StageRecord, content_key
from dao_core.crysdb.config import BuildConfig, FilesConfig, SampleConfig, open_source
from tasks.engine import create_table_artifact, emit_event, get_run_logger, task
from tasks.keys import code_hash

RELAXED = "dao-relaxed"  # the source name of structures relaxed with DAO-P
ROWS = "rows.parquet"
PUBLISHED = "dao.crysdb.published"


@dataclass(frozen=True)
class TableRecord:
    """A version of the CrysDB table: where, which, and the hash of its content."""

    path: str
    version: int
    key: str
    counts: dict[str, int]


def can_continue(_task: object, _run: object, state: Any) -> bool:
    """Retry only where the source itself was interrupted; a mistake in the settings stays one."""
    from dao_core.crysdb.sources.base import SourceInterrupted

    return isinstance(state.result(raise_on_failure=False), SourceInterrupted)


def ledger_of(root: str) -> Ledger:
    """The ledger of a run's folder."""
    return Ledger(Path(root) / "ledger")


@task(name="build CrysDB", retries=3, retry_delay_seconds=[10, 60, 300], retry_condition_fn=can_continue)
def build_crysdb(config: BuildConfig, root: str, relaxed: Sequence[StageRecord] = ()) -> TableRecord:
    """Ingest, clean, deduplicate, hull, leak audit and publish; finished stages are not repeated.

    `relaxed` are the records of `relax_shard`: their rows become a source of their own, and go through the same
    stages as all others.
    """

    def work(directory: Path) -> dict[str, Any]:
        from dao_core.crysdb.build import build

        sources = [open_source(s) for s in config.sources]
        if rows := _gather(relaxed, directory):
            from dao_core.crysdb.sources.records import RecordsSource

            sources.append(RecordsSource(rows))
        allowed = config.guards.model_copy(update={"allow": (*config.guards.allow, RELAXED)})
        report = build(config.model_copy(update={"guards": allowed}), Path(root) / "crysdb", sources=sources)
        counts = {"n_published": sum(s["n_published"] for s in report.sources.values())}
        for name in ("n_in", "n_refused", "n_dropped"):
            counts[name] = sum(s[name] for s in report.sources.values())
        facts = {"version": report.version, "content_hash": report.content_hash, "views": report.views,
                 "refused": report.refused, "dropped": report.dropped, "hull": report.hull}  # fmt: skip
        return {"counts": counts, "facts": facts}

    record = ledger_of(root).run("crysdb", _key(config, relaxed), work)
    show(record)
    emit_event(PUBLISHED, resource={"prefect.resource.id": "dao.crysdb", "version": str(record.facts["version"])})
    table = str(Path(root) / "crysdb" / "table")
    return TableRecord(table, record.facts["version"], record.facts["content_hash"], record.counts)


@task(name="update CrysDB", retries=3, retry_delay_seconds=[10, 60, 300], retry_condition_fn=can_continue)
def update_crysdb(config: BuildConfig, root: str) -> TableRecord:
    """Work only on what is new, changed or gone since the last version; the first time this is a build."""
    from dao_core.crysdb.table import CrysTable
    from dao_core.crysdb.update import update

    folder = Path(root) / "crysdb"
    table = CrysTable(folder / "table")
    if not table.exists:
        record: TableRecord = build_crysdb.fn(config, root)
        return record
    report = update(config, folder)
    names = ("n_in", "n_same", "n_new", "n_changed", "n_gone", "n_refused")
    counts = {name: int(getattr(report, name)) for name in names}
    get_run_logger().info("CrysDB version %s: %s", report.version, counts)
    create_table_artifact(key="crysdb-update", table=[{"count": k, "rows": v} for k, v in counts.items()])
    emit_event(PUBLISHED, resource={"prefect.resource.id": "dao.crysdb", "version": str(report.version)})
    key = str(table.facts(report.version).get("content_hash", report.version))
    return TableRecord(str(table.path), report.version, key, counts)


def _key(config: BuildConfig, relaxed: Sequence[StageRecord]) -> str:
    """Local sources count by their content, remote ones by their settings and the snapshot's name."""
    content = [
        getattr(open_source(s), "fingerprint", lambda: None)() if isinstance(s, FilesConfig | SampleConfig) else None
        for s in config.sources
    ]
    return content_key(config=config, content=content, relaxed=[r.key for r in relaxed], code=code_hash("crysdb"))


def _gather(relaxed: Sequence[StageRecord], directory: Path) -> Path | None:
    """All relaxed rows in one file, or None where there are none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not relaxed:
        return None
    table = pa.concat_tables([pq.read_table(shard.file(ROWS)) for shard in relaxed])
    if table.num_rows == 0:
        return None
    pq.write_table(table, directory / ROWS)
    return directory / ROWS


def show(record: StageRecord) -> None:
    """Counts in the log and as a table in the Prefect UI."""
    get_run_logger().info("CrysDB version %s: %s", record.facts["version"], record.counts)
    rows = [{"count": k, "rows": v} for k, v in {**record.counts, **record.facts["views"]}.items()]
    create_table_artifact(key="crysdb-counts", table=rows, description=f"CrysDB version {record.facts['version']}")


def open_table(path: Path, version: int | None = None) -> TableRecord:
    """The record of a table that exists, at its newest version unless one is named. Raises TableError."""
    from dao_core.crysdb.table import CrysTable

    table = CrysTable(path)
    at = table.version if version is None else version
    return TableRecord(str(path), at, str(table.facts(at).get("content_hash", at)), {})
