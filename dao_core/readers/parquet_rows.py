"""Rows of a Parquet table, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dao_core.readers.base import UnreadableError

BATCH = 2000


def read_parquet(path: Path, start: int = 0) -> Iterator[dict[str, Any]]:
    """Read the rows of a Parquet file.

    Args:
        path: The file.
        start: Number of the first row.

    Yields:
        Each row by column name.

    Raises:
        UnreadableError: The file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        index = 0
        for batch in pq.ParquetFile(path).iter_batches(batch_size=BATCH):
            if index + batch.num_rows > start:
                yield from batch.slice(max(0, start - index)).to_pylist()
            index += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise UnreadableError(f"{path} is a damaged Parquet file ({error}): download it again") from error
