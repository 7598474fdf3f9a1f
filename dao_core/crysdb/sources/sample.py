"""The source `sample`: the structures that ship with the package (`dao_core/crysdb/data/sample.parquet`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dao_core.crysdb.schema import table_to_records
from dao_core.crysdb.sources.base import SourceItem
from dao_core.crysdb.sources.guards import check_file

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample.parquet"


class SampleSource:
    """Rows of the embedded sample; see `sample_card.md` beside it. Raises SourceError when the file is damaged."""

    def __init__(self, path: Path = SAMPLE) -> None:
        import pyarrow.parquet as pq

        check_file(path)
        self.path = path
        head = next(pq.ParquetFile(path).iter_batches(batch_size=1, columns=["source", "functional", "source_version"]))
        first = head.to_pylist()[0]
        self.name = str(first["source"])
        self.functional = str(first["functional"])
        self.version: str | None = first["source_version"]

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
