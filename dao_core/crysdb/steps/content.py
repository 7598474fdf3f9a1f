"""One hash for the content of a table, the same however its rows are cut into shards and files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

NOT_CONTENT = ("ingested_at",)  # the one column that names a time


class ContentDigest:
    """Feed tables in the order of their rows; the digest is of every value, null or not, and of the column names.

    Each column is hashed as a stream of its own (which values are null, lengths of lists and texts, then plain
    values), so that the borders between the tables leave no trace.
    """

    def __init__(self) -> None:
        self._streams: dict[str, Any] = {}

    def update(self, table: pa.Table) -> None:
        """Add the rows of a table; every table must have the same columns."""
        for name in table.column_names:
            if name not in NOT_CONTENT:
                self._column(name, _flat(table[name]))

    def hexdigest(self) -> str:
        """The hash of all rows so far."""
        whole = hashlib.sha256()
        for name, stream in sorted(self._streams.items()):
            whole.update(name.encode() + b"\0" + stream.digest())
        return whole.hexdigest()

    def _add(self, name: str, data: Any) -> None:
        self._streams.setdefault(name, hashlib.sha256()).update(data)

    def _column(self, name: str, values: pa.Array) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        self._add(f"{name}.known", np.asarray(pc.is_valid(values)).astype(np.uint8))
        kind = values.type
        if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
            self._add(f"{name}.lengths", np.asarray(pc.fill_null(pc.list_value_length(values), 0)).astype(np.int64))
            self._column(f"{name}.item", values.flatten())
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
            texts = pc.fill_null(values, "")
            self._add(f"{name}.lengths", np.asarray(pc.binary_length(texts)).astype(np.int64))
            self._add(name, "".join(texts.to_pylist()).encode())
        elif pa.types.is_boolean(kind):
            self._add(name, np.asarray(pc.fill_null(values, False)).astype(np.uint8))
        else:
            self._add(name, np.ascontiguousarray(pc.fill_null(values, 0).to_numpy(zero_copy_only=False)))


def _flat(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return column.combine_chunks() if column.num_chunks != 1 else pa.concat_arrays(column.chunks)
