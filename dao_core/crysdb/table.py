"""The CrysDB table: Delta Lake over Parquet shards, one writer at a time, many readers, every build a version."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

from dao_core.artifacts import file_sha256, write_atomic
from dao_core.crysdb.schema import COLUMNS, CrysRecord, conform, records_to_table, schema, table_to_records

if TYPE_CHECKING:
    import pyarrow as pa


View = Literal["all", "leak_free", "relaxed", "forces"]
ROWS_PER_GROUP = 20_000
# Of a table whose path has one of these Delta Lake loses the history or all of it: measured with deltalake 1.5
UNUSABLE = re.compile(r"[\x00-\x1f#?\\^|\[\]]|%[0-9A-Fa-f]{2}")
RESTORE = "remove the table's folder and build again (the finished stages are kept), or restore it from a copy"
BYTES_PER_FILE = 128 * 2**20


class TableError(RuntimeError):
    """The table cannot be read or written; what was there before is untouched. The message says what to do."""


class TableBusyError(TableError):
    """Another process is writing this table."""


def _delta_schema() -> pa.Schema:
    """CrysDB's schema in Delta's types, which know lists only without a fixed length."""
    import pyarrow as pa

    return pa.schema([(f.name, pa.list_(pa.float64()) if f.name == "lattice" else f.type) for f in schema()])


def _to_delta(table: pa.Table) -> pa.Table:
    return conform(table).cast(_delta_schema())


class CrysTable:
    """A CrysDB table in a folder.

    `publish` replaces the content, `upsert` merges by `material_id`; each is one atomic Delta commit, so a reader
    sees the old version or the new one. Old versions stay readable until `vacuum` is called.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def exists(self) -> bool:
        """Whether there is a table, of any version."""
        return (self.path / "_delta_log").is_dir()

    @property
    def version(self) -> int:
        """Number of the newest version. Raises TableError where there is no table."""
        return int(self._open().version())

    @contextmanager
    def writer(self, *, wait: bool = False) -> Iterator[None]:
        """Hold the table for writing; the lock dies with the process.

        Args:
            wait: Until it is free.

        Raises:
            TableBusyError: It is taken; raised at once unless told to wait.
            TableError: There can be no table at this path.
        """
        _check_path(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = (self.path.parent / f"{self.path.name}.lock").open("a")
        except OSError as error:
            raise TableError(f"cannot write below {self.path.parent}: {error}") from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise TableBusyError(
                    f"another process is writing {self.path}: wait until it is done, or end it"
                ) from None
            yield

    def publish(self, data: pa.Table | Iterable[pa.Table], *, facts: Mapping[str, Any] | None = None) -> int:
        """Replace the whole content in one commit; the caller holds `writer()`.

        Args:
            data: A table, or tables streamed one by one.
            facts: Kept with the version (see `facts`).

        Returns:
            The new version.

        Raises:
            TableError: Disk full, no permission; the last version is intact.
        """
        import pyarrow as pa

        tables = [data] if isinstance(data, pa.Table) else data
        layout = _delta_schema()
        batches = (batch for table in tables for batch in _to_delta(table).to_batches())
        self._write(pa.RecordBatchReader.from_batches(layout, batches), facts)
        return self.version

    def upsert(self, data: pa.Table, *, delete: Sequence[str] = (), facts: Mapping[str, Any] | None = None) -> int:
        """Replace rows of the same `material_id`, add new ones and remove others, in one commit.

        Args:
            data: Rows with CrysDB's columns.
            delete: Ids to remove.
            facts: What they were made from, kept with the version.

        Returns:
            The new version.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        if not self.exists:
            return self.publish(data, facts=facts)
        # Changed rows lie in every file, so all are written anew in any case: a stream is cheaper than Delta's merge.
        replaced = pa.array([*delete, *data["material_id"].to_pylist()], type=pa.string())
        # The files themselves, not Delta's dataset: its readers and its writer share one runtime and cannot be nested.
        parts = (part for path in self.files() for part in pq.ParquetFile(path).iter_batches(ROWS_PER_GROUP))
        kept = (
            pa.Table.from_batches([part.filter(pc.invert(pc.is_in(part["material_id"], value_set=replaced)))])
            for part in parts
        )
        return self.publish(chain(kept, [data]), facts=facts)

    def read(self, columns: Sequence[str] | None = None, filters: Any = None, version: int | None = None) -> pa.Table:
        """Rows of a version as an arrow table.

        Args:
            columns: Default: all.
            filters: A pyarrow expression or a list of (column, operator, value).
            version: Default: the newest.

        Returns:
            The rows.
        """
        import pyarrow.parquet as pq

        expression = pq.filters_to_expression(filters) if isinstance(filters, list) else filters
        dataset = self.dataset(version)
        names = list(columns) if columns is not None else list(COLUMNS)
        table = dataset.to_table(columns=names, filter=expression)
        return table.cast(_subschema(names))

    def batches(
        self, columns: Sequence[str] | None = None, version: int | None = None, rows: int = ROWS_PER_GROUP
    ) -> Iterator[pa.Table]:
        """The rows of a version piece by piece, with bounded memory.

        Args:
            columns: Names; None: all.
            version: Of the table; None: the newest.
            rows: Most rows of a piece.

        Yields:
            The pieces.
        """
        import pyarrow as pa

        names = list(columns) if columns is not None else list(COLUMNS)
        dataset = self.dataset(version)
        for batch in dataset.to_batches(columns=names, batch_size=rows, batch_readahead=1, fragment_readahead=1):
            if batch.num_rows:
                yield pa.Table.from_batches([batch]).cast(_subschema(names))

    def dataset(self, version: int | None = None) -> Any:
        """The rows of a version as a pyarrow dataset, for engines that read only what they need (DuckDB, polars)."""
        return self._open(version).to_pyarrow_dataset(as_large_types=False)

    def records(self, view: View = "all", version: int | None = None, level: str = "structure") -> list[CrysRecord]:
        """The rows of a view as records.

        Args:
            view: See `views.py`.
            version: Of the table; None: the newest.
            level: What counts as a leak.

        Returns:
            The records.
        """
        from dao_core.crysdb.views import select_view

        return table_to_records(select_view(self.read(version=version), view, level=level))

    def facts(self, version: int | None = None) -> dict[str, Any]:
        """What was recorded with a version when it was published."""
        delta = self._open()
        asked_for = delta.version() if version is None else version
        for entry in delta.history():
            if entry.get("version") == asked_for:
                return dict(json.loads(entry.get("dao", "{}")))
        raise TableError(f"version {asked_for} of {self.path} is not in its history")

    def history(self) -> list[dict[str, Any]]:
        """The versions, newest first."""
        return list(self._open().history())

    def vacuum(self, *, retention_hours: int, dry_run: bool = False) -> list[str]:
        """Delete the files that only old versions need; those versions are gone then.

        Delta Lake only names the files: its own deletion makes two versions more, which say nothing of what they hold.

        Args:
            retention_hours: Versions younger than this keep their files; 0 keeps the newest version alone.
            dry_run: Only name the files.

        Returns:
            Names of the files.

        Raises:
            TableError: There is no table.
        """
        self._check_exists()  # `writer` makes the folder that it locks
        with self.writer():
            names = self._open().vacuum(retention_hours=retention_hours, enforce_retention_duration=False, dry_run=True)
            for name in () if dry_run else names:
                (self.path / unquote(name)).unlink(missing_ok=True)
            return list(names)

    def seal(self) -> None:
        """Record the SHA-256 of the newest version's files beside the table; the caller holds `writer()`.

        What is recorded already stays: a file that was changed since is not made good by a later build.
        """
        known = self._checksums()
        sums = {f.name: known.get(f.name) or file_sha256(f) for f in self.files()}
        older = {name: value for name, value in known.items() if (self.path / name).exists()}
        write_atomic(self._sums, json.dumps({**older, **sums}, indent=1, sort_keys=True))

    def check(self) -> None:
        """Verify that the newest version is whole.

        Raises:
            TableError: Its log cannot be read, or a file of it is missing or was changed; the message says what to do.
        """
        missing = [f.name for f in self.files() if not f.is_file()]
        if missing:
            raise TableError(
                f"{self.path} is damaged, {len(missing)} files are missing, such as {missing[0]}: {RESTORE}"
            )
        differ, _ = self.unsealed()
        if differ:
            raise TableError(
                f"{self.path} is damaged, {len(differ)} files were changed, such as {differ[0]}: {RESTORE}"
            )

    def unsealed(self) -> tuple[list[str], list[str]]:
        """Files of the newest version that differ from their recorded checksum, and files without one."""
        known = self._checksums()
        files = self.files()
        differ = [f.name for f in files if f.name in known and file_sha256(f) != known[f.name]]
        return differ, [f.name for f in files if f.name not in known]

    @property
    def _sums(self) -> Path:
        return self.path.parent / f"{self.path.name}.sha256.json"  # in the table's folder a vacuum would take it

    def _checksums(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._sums.read_text()))
        except (OSError, ValueError):
            return {}

    def files(self, version: int | None = None) -> list[Path]:
        """The Parquet files of a version."""
        return [_path_of(uri) for uri in self._open(version).file_uris()]

    def _check_exists(self) -> None:
        if not self.exists:
            raise TableError(f"no CrysDB table at {self.path}: run `dao crysdb build` first, or correct the path")

    def _open(self, version: int | None = None) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        self._check_exists()
        if version is not None and not isinstance(version, Integral):
            raise TableError(
                f"version {version!r} is no number: give one of 0 to {self.version}, or None for the newest"
            )
        if version is not None and not 0 <= version <= self.version:
            raise TableError(
                f"{self.path} has no version {version}: use one of 0 to {self.version} (dao crysdb history)"
            )
        _check_path(self.path)
        try:
            return DeltaTable(str(self.path), version=version)
        except (DeltaError, OSError, ValueError) as error:
            what = f"cannot open {self.path}" + ("" if version is None else f" at version {version}")
            remedy = RESTORE if version is None else "use one that `dao crysdb history` lists"
            raise TableError(f"{what} ({' '.join(str(error).split())}): {remedy}") from error

    def _commit(self, facts: Mapping[str, Any] | None) -> dict[str, Any]:
        from deltalake import CommitProperties, PostCommitHookProperties, WriterProperties

        text = json.dumps(dict(facts or {}), sort_keys=True, default=str)
        return {
            "commit_properties": CommitProperties(custom_metadata={"dao": text}, max_commit_retries=0),
            # by default Delta Lake forgets versions of more than 30 days ago at every 100th one
            "post_commithook_properties": PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False),
            "writer_properties": WriterProperties(compression="ZSTD", max_row_group_size=ROWS_PER_GROUP),
        }

    def _write(self, data: pa.RecordBatchReader, facts: Mapping[str, Any] | None) -> None:
        from deltalake import write_deltalake

        with self._delta_errors():
            write_deltalake(
                str(self.path), data, mode="overwrite", target_file_size=BYTES_PER_FILE, **self._commit(facts)
            )

    @contextmanager
    def _delta_errors(self) -> Iterator[None]:
        from deltalake.exceptions import DeltaError

        try:
            yield
        except (DeltaError, OSError) as error:
            raise TableError(
                f"could not write {self.path}: {error}; the last version is intact: free space or fix the path, "
                "then run it again"
            ) from error


def _check_path(path: Path) -> None:
    """Raise TableError where Delta Lake cannot keep a table."""
    if found := UNUSABLE.search(str(path.absolute())):
        raise TableError(f"no CrysDB table can be kept at {path}: choose a path without {found[0]!r}")


def _path_of(uri: str) -> Path:
    """A file that Delta names, as a path: spaces and letters beyond ASCII are percent-encoded in its names."""
    return Path(unquote(uri.removeprefix("file://")))


def _subschema(names: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([schema().field(name) for name in names])


def write_records(
    path: str | Path, records: Iterable[CrysRecord], *, facts: Mapping[str, Any] | None = None
) -> CrysTable:
    """Make a table of records as they are, without the build's checks: for tests and small tools.

    Args:
        path: Folder of the table.
        records: Its rows.
        facts: What they were made from.

    Returns:
        The table.
    """
    table = CrysTable(path)
    with table.writer():
        table.publish(records_to_table(records), facts=facts)
    return table


@dataclass(frozen=True)
class TableRecord:
    """A version of the CrysDB table: where, which, and the hash of its content."""

    path: str
    version: int
    key: str
    counts: dict[str, int]
