"""The source `sample`: the structures that ship with the package (`dao_core/crysdb/data/sample.parquet`)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from dao_core.artifacts import file_sha256
from dao_core.crysdb.schema import table_to_records
from dao_core.crysdb.sources.base import SourceError, SourceItem
from dao_core.crysdb.sources.guards import check_file


def sample_path() -> Path:
    """Where the installed package keeps the sample."""
    return Path(str(files("dao_core.crysdb") / "data" / "sample.parquet"))


class SampleSource:
    """Rows of the embedded sample; see `sample_card.md` beside it.

    Raises SourceError when the file is missing or damaged, or differs from the SHA-256 that ships beside it.
    """

    def __init__(self, path: Path | None = None) -> None:
        import pyarrow.parquet as pq

        self.path = path = sample_path() if path is None else path
        check_file(path)
        self._sha256 = _checked_sha256(path)
        head = next(pq.ParquetFile(path).iter_batches(batch_size=1, columns=["source", "functional", "source_version"]))
        first = head.to_pylist()[0]
        self.name = str(first["source"])
        self.functional = str(first["functional"])
        self.version: str | None = first["source_version"]

    def fingerprint(self) -> str:
        """Hash of the file."""
        return self._sha256

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


def _checked_sha256(path: Path) -> str:
    """The file's hash, compared with the one in `<name>.sha256`. Raises SourceError."""
    beside = path.with_name(f"{path.name}.sha256")
    actual = file_sha256(path)
    try:
        expected = beside.read_text().split()[0]
    except (OSError, IndexError) as error:
        raise SourceError(f"{beside} is missing or empty ({error}): reinstall the package") from error
    if actual != expected:
        raise SourceError(f"{path} is not the sample that was shipped (SHA-256 differs): reinstall the package")
    return actual
