"""Candidates between stages: proposals and candidates as Parquet, read back as they were written."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.artifacts import plain, written_whole
from dao_core.crystal import Crystal
from dao_core.hull.label import EnergyLabel
from dao_core.screening.candidate import Candidate

_JSON = ("provenance", "cost", "extras")
_FORMER_NAMES = {"confidence": "probability"}  # columns of tables written until 2026-11: read for one release


class StoredCandidatesError(RuntimeError):
    """A file of candidates that cannot be read; the message says what to do."""


def save_candidates(candidates: Sequence[Candidate], path: str | Path) -> None:
    """Write candidates to one Parquet file: scalar fields as columns, the structure as lists, mappings as JSON.

    Args:
        candidates: In any order, which is kept.
        path: The file; it appears whole or not at all.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f.name for f in fields(Candidate) if f.name not in ("crystal", *_JSON)]
    columns: dict[str, list[object]] = {name: [getattr(c, name) for c in candidates] for name in names}
    columns["merged_ids"] = [list(c.merged_ids) for c in candidates]
    columns["lattice"] = [c.crystal.lattice.ravel().tolist() for c in candidates]
    columns["frac_coords"] = [c.crystal.frac_coords.ravel().tolist() for c in candidates]
    columns["atomic_numbers"] = [c.crystal.atomic_numbers.tolist() for c in candidates]
    for name in _JSON:
        columns[name] = [json.dumps(plain(getattr(c, name))) for c in candidates]
    with written_whole(Path(path)) as temporary:
        pq.write_table(pa.table(columns), temporary)


def load_candidates(path: str | Path) -> list[Candidate]:
    """Read what `save_candidates` wrote, bit for bit. Raises StoredCandidatesError on a damaged or foreign file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
        return [_candidate(row) for row in rows]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise StoredCandidatesError(f"{path} is not a file of candidates ({error}): run the stage again") from error


def _candidate(row: dict[str, Any]) -> Candidate:
    lattice = np.array(row.pop("lattice")).reshape(3, 3)
    crystal = Crystal(lattice, np.array(row.pop("frac_coords")).reshape(-1, 3), np.array(row.pop("atomic_numbers")))
    for name in _JSON:
        row[name] = json.loads(row[name])
    return Candidate(**{**_of_today(row), "merged_ids": tuple(row["merged_ids"])}, crystal=crystal)


def _of_today(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a table written until 2026-11 with today's columns; a row of today as it is."""
    for old, new in _FORMER_NAMES.items():
        if old in row:
            warnings.warn(f"column `{old}` is now called `{new}`: this table is of an earlier version", stacklevel=2)
            row[new] = row.pop(old)
    if "energy_kind" not in row and row.get("energy_identity") is not None:
        row["energy_kind"] = EnergyLabel.from_identity(row["energy_identity"]).kind
        row["held"] = bool(row["provenance"].get("held"))
        row["given"] = str(row["provenance"].get("given") or "")
    return row
