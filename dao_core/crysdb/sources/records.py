"""The source `records`: a Parquet file that already has CrysDB's columns, such as structures relaxed with DAO-P."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dao_core.artifacts import write_atomic
from dao_core.crysdb.schema import table_to_records
from dao_core.crysdb.sources.base import Source, SourceError, SourceItem
from dao_core.crysdb.sources.guards import check_file

FED_BACK = "fed_back"  # in a database's folder: rows that an update put there beside the sources of its settings


class RecordsSource:
    """Rows of one source and functional in CrysDB's own columns. Raises SourceError where the file is not that."""

    def __init__(self, path: Path) -> None:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        check_file(path)
        self.path = path
        head = pq.read_table(path, columns=["source", "functional", "source_version"])
        names = {column: pc.unique(head[column]).to_pylist() for column in head.column_names}
        if any(len(values) != 1 for values in names.values()):
            raise SourceError(f"{path} mixes sources or has no rows ({names}): write one file a source and functional")
        self.name, self.functional = str(names["source"][0]), str(names["functional"][0])
        self.version: str | None = names["source_version"][0]

    def fingerprint(self) -> str:
        """Hash of the file."""
        from dao_core.artifacts import file_sha256

        return file_sha256(self.path)

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:  # noqa: ARG002
        """Every row; the cursor is the number of rows read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        start, index = int(cursor or 0), 0
        for batch in pq.ParquetFile(self.path).iter_batches(batch_size=1000):
            skip = min(max(0, start - index), batch.num_rows)
            index += skip
            for record in table_to_records(pa.Table.from_batches([batch.slice(skip)])):
                index += 1
                yield SourceItem(record, str(index))


def keep_fed_back(source: RecordsSource, root: Path) -> None:
    """Keep the rows of a source beside a database, in place of what it gave before, for `with_fed_back`."""
    (root / FED_BACK).mkdir(parents=True, exist_ok=True)
    write_atomic(root / FED_BACK / f"{source.name}.parquet", source.path.read_bytes())


def with_fed_back(sources: Sequence[Source], root: Path) -> list[Source]:
    """The sources of a build, and behind them what was fed back into its database, unless one has that name."""
    names = {source.name for source in sources}
    kept = (RecordsSource(path) for path in sorted((root / FED_BACK).glob("*.parquet")))
    return [*sources, *(source for source in kept if source.name not in names)]
