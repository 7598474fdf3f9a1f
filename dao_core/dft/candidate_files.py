"""Tables of candidates that a validation takes its structures from, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

REPORT_COLUMNS = frozenset(
    {"id", "rank", "file", "formula", "lattice", "frac_coords", "atomic_numbers", "model_formation_energy"}
)  # what a validation reads of a screening's report


class CandidatesError(ValueError):
    """A file that is not a screening's table of candidates; the message names it and what it lacks."""


def require_columns(path: Path, columns: Collection[str]) -> None:
    """See that a file is a Parquet table with some columns.

    Args:
        path: The file.
        columns: Their names.

    Raises:
        CandidatesError: It is no Parquet file, or a column is missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    remedy = "name the candidates.parquet of a screening's report"
    if path.is_dir():
        raise CandidatesError(f"{path} is a folder: {remedy}")
    try:
        found = set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise CandidatesError(f"{path} can't be read as Parquet: {remedy}") from error
    if missing := sorted(set(columns) - found):
        raise CandidatesError(f"{path} has no column {', '.join(missing)}: {remedy}")
