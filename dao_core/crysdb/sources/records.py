"""The source `records`: a Parquet file that already has CrysDB's columns, such as structures relaxed with DAO-P."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dao_core.crysdb.schema import table_to_records
from dao_core.crysdb.sources.base import SourceError, SourceItem
from dao_core.crysdb.sources.guards import check_file


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
        import pyarrow.parquet as pq

        start = int(cursor or 0)
        for index, record in enumerate(table_to_records(pq.read_table(self.path))[start:], start=start + 1):
            yield SourceItem(record, str(index))
