"""Tasks around CrysDB: build it, and build it again with the structures that DAO-P relaxed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao_core.artifacts import Ledger, StageRecord, content_key
from dao_core.code_version import code_version
from dao_core.crysdb.config import BuildConfig, FilesConfig, SampleConfig, open_source
from dao_core.crysdb.table import CrysTable, TableBusyError, TableRecord
from tasks.prefect_api import create_table_artifact, emit_event, get_run_logger, in_run, task
from tasks.secrets import open_sources

if TYPE_CHECKING:
    from dao_core.crysdb.sources.base import Source
    from tasks.run_log import RunLog

RELAXED = "dao-relaxed"  # the source name of structures relaxed with DAO-P
ROWS = "rows.parquet"
CRYSDB, PUBLISHED = "dao.crysdb", "dao.crysdb.published"  # resource and event that may start a pretraining


def can_continue(_task: object, _run: object, state: Any) -> bool:
    """Retry only where the source was interrupted or the table is taken; a mistake in the settings stays one."""
    from dao_core.crysdb.sources.base import SourceInterrupted

    return isinstance(state.result(raise_on_failure=False), SourceInterrupted | TableBusyError)


def wait_until_free(table: CrysTable) -> None:
    """Wait while another process writes a table: the nightly update may meet a rebuild that takes hours."""
    try:
        with table.writer():
            return
    except TableBusyError:
        log = get_run_logger() if in_run() else logging.getLogger(__name__)
        log.warning("another process is writing %s: waiting until it is done", table.path)
    with table.writer(wait=True):
        return


def ledger_of(root: str) -> Ledger:
    """The ledger of a run's folder."""
    return Ledger(Path(root) / "ledger")


@task(name="build CrysDB", retries=3, retry_delay_seconds=[10, 60, 300], retry_condition_fn=can_continue)
def build_crysdb(
    config: BuildConfig,
    root: str,
    relaxed: Sequence[StageRecord] = (),
    base: TableRecord | None = None,
    *,
    folder: str | None = None,
) -> TableRecord:
    """Ingest, clean, deduplicate, hull, leak audit and publish; finished stages are not repeated.

    Args:
        config: Of the build.
        root: Folder of the run.
        relaxed: Records of `relax_shard`: their rows become a source of their own, and go through the same stages as
            all others.
        base: A published table whose rows take the place of the configured sources.
        folder: Of the database, whose newest version this build is to be; None: `crysdb` below the run's root, where
            the run's own builds are versions of one table.

    Returns:
        The record of the published table.
    """
    database = Path(folder or Path(root) / "crysdb")
    table = CrysTable(database / "table")
    wait_until_free(table)

    def work(directory: Path) -> dict[str, Any]:
        from dao_core.crysdb.build.build import build

        sources = open_sources(config) if base is None else _rows_of(base, directory)
        if rows := _gather(relaxed, directory):
            from dao_core.crysdb.sources.records import RecordsSource

            sources.append(RecordsSource(rows))
        allowed = config.guards.model_copy(update={"allow": (*config.guards.allow, RELAXED)})
        report = build(config.model_copy(update={"guards": allowed}), database, sources=sources)
        counts = {"n_published": sum(s["n_published"] for s in report.sources.values())}
        for name in ("n_in", "n_refused", "n_dropped"):
            counts[name] = sum(s[name] for s in report.sources.values())
        facts = {"version": report.version, "content_hash": report.content_hash, "views": report.views,
                 "refused": report.refused, "dropped": report.dropped, "hull": report.hull}  # fmt: skip
        return {"counts": counts, "facts": facts}

    ledger, key = ledger_of(root), _key(config, relaxed, base)
    found = ledger.find("crysdb", key)
    if found is not None and not _is_published(found, table, newest=folder is not None):
        shutil.rmtree(found.path)  # the table is outside of the ledger, which can't know that it is gone or changed
    record = ledger.run("crysdb", key, work)
    show(record)
    return TableRecord(str(table.path), record.facts["version"], record.facts["content_hash"], record.counts)


@task(name="update CrysDB", retries=3, retry_delay_seconds=[10, 60, 300], retry_condition_fn=can_continue)
def update_crysdb(config: BuildConfig, root: str) -> TableRecord:
    """Work in the database at `root` on what is new, changed or gone only; the first time this is a build."""
    from dao_core.crysdb.build.update import update

    table = CrysTable(Path(root) / "table")
    wait_until_free(table)
    if not table.exists:
        record: TableRecord = build_crysdb.fn(config, root, folder=root)
        return record
    report = update(config, root, sources=open_sources(config))
    names = ("n_in", "n_same", "n_new", "n_changed", "n_gone", "n_refused")
    counts = {name: int(getattr(report, name)) for name in names}
    get_run_logger().info("CrysDB version %s: %s", report.version, counts)
    create_table_artifact(key="crysdb-update", table=[{"count": k, "rows": v} for k, v in counts.items()])
    key = str(table.facts(report.version).get("content_hash", report.version))
    return TableRecord(str(table.path), report.version, key, counts)


@task(name="announce")
def announce(table: TableRecord, name: str, root: str) -> None:
    """Tell the server about a published version, once a content: a pretraining may be waiting for it."""

    def work(_: Path) -> None:
        resource = {"prefect.resource.id": f"{CRYSDB}.{name}", "version": str(table.version), "table": table.path}
        emit_event(PUBLISHED, resource=resource)

    ledger_of(root).run("announced", content_key(event=PUBLISHED, name=name, table=table.key), work)


def _is_published(record: StageRecord, table: CrysTable, *, newest: bool) -> bool:
    """Whether what a build published is still in the table, as its newest version or as any."""
    if not table.exists:
        return False
    version = table.version if newest else record.facts["version"]
    return version <= table.version and table.facts(version).get("content_hash") == record.facts["content_hash"]


def _key(config: BuildConfig, relaxed: Sequence[StageRecord], base: TableRecord | None = None) -> str:
    """Local sources count by their content, remote ones by their settings and the snapshot's name."""
    from dao_core.crysdb.build.build import build

    content = [
        getattr(open_source(s), "fingerprint", lambda: None)() if isinstance(s, FilesConfig | SampleConfig) else None
        for s in config.sources
    ]
    parts: dict[str, Any] = {} if base is None else {"base": base.key}
    return content_key(
        config=config, content=content, relaxed=[r.key for r in relaxed], code=code_version(build), **parts
    )


def _rows_of(base: TableRecord, directory: Path) -> list[Source]:
    """The rows of a table as sources: one file for each source and functional. What an earlier DAO-P relaxed is left
    out: this run relaxes anew.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from dao_core.crysdb.sources.records import RecordsSource

    rows = CrysTable(base.path).read(version=base.version, filters=pc.field("source") != RELAXED)
    kinds = rows.select(["source", "functional", "source_version"]).group_by(
        ["source", "functional", "source_version"]
    ).aggregate([])  # fmt: skip
    out: list[Source] = []
    for i, kind in enumerate(kinds.to_pylist()):
        same = [pc.equal(rows[k], v) if v is not None else pc.is_null(rows[k]) for k, v in kind.items()]
        part: pa.Table = rows.filter(pc.and_(pc.and_(same[0], same[1]), same[2]))
        path = directory / f"base-{i}.parquet"
        pq.write_table(part, path)
        out.append(RecordsSource(path))
    return out


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
    """The record of a table that exists.

    Args:
        path: Folder of the table.
        version: Of the table; None: the newest.

    Returns:
        Its record.

    Raises:
        TableError: There is no such table or version.
    """
    table = CrysTable(path)
    at = table.version if version is None else version
    return TableRecord(str(path), at, str(table.facts(at).get("content_hash", at)), {})


@task(name="ingest sources", retries=3, retry_delay_seconds=[10, 60, 300], retry_condition_fn=can_continue)
def ingest_sources(config: BuildConfig, folder: str) -> list[StageRecord]:
    """Read every source into shards, when nobody else writes the database; whole shards are not read again.

    Args:
        config: Of the build.
        folder: Of the database.

    Returns:
        Records of the shards.

    Raises:
        TableBusyError: Another process took the table at the same moment.
    """
    from dao_core.crysdb.build.build import ingest_all

    table = CrysTable(Path(folder) / "table")
    wait_until_free(table)
    with table.writer():
        sources: Sequence[Source] = open_sources(config)
        return [shard for shards in ingest_all(sources, Ledger(Path(folder) / "ledger"), config) for shard in shards]


@task(name="prepare a shard", retries=1)
def prepare_shard(shard: StageRecord, config: BuildConfig, folder: str) -> list[StageRecord]:
    """Clean and standardise one shard: [cleaned, standardised]."""
    from dao_core.crysdb.build import stages

    root = Path(folder) / "ledger"
    return list(stages.prepare_shard(shard, root=root, settings=config.clean, symprec=config.symprec))


def prepare_crysdb(run: RunLog, config: BuildConfig, folder: str) -> None:
    """Ingest here, then clean and standardise the shards on the run's workers.

    With `threads` the shards are left to the build, which has processes of its own (`workers` of its settings).

    Args:
        run: Whose workers do it.
        config: Of the build.
        folder: Of the database.
    """
    if run.workers is None or run.workers.engine == "threads":
        return
    shards = run.step("ingest", ingest_sources, config, folder)
    run.step_each("clean and standardise", prepare_shard, shards, config, folder)
