"""Duplicates: exact key first, matching only inside a bucket; the lowest energy stands for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from dao_core.crysdb.pool import ordered_map
from dao_core.crysdb.steps.quarantine import Quarantine, in_quarantine
from dao_core.matching.same import MatchSettings, Member, group_bucket

if TYPE_CHECKING:
    import pyarrow as pa

# the columns that decide buckets and who stands for whom
DEDUP_COLUMNS = (
    "material_id",
    "source",
    "functional",
    "structure_key",
    "relaxation",
    "energy_per_atom",
    "energy_correction_per_atom",
    "formation_energy_per_atom_source",
)
STRUCTURE_COLUMNS = ("material_id", "lattice", "frac_coords", "atomic_numbers")
ROWS_IN_MEMORY = 20_000


class DedupSettings(BaseModel):
    """`across_sources` also joins equal structures of different sources or functionals.

    Their energies can't be compared, so the source given first keeps its row then. Off by default: each source's
    rows stay with their own hull.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: MatchSettings = MatchSettings()
    across_sources: bool = False


@dataclass(frozen=True)
class Buckets:
    """Rows (index into the whole) of each bucket with more than one member, best first, and the ids of all rows."""

    rows: list[list[int]]


def buckets_of(columns: pa.Table, settings: DedupSettings, quarantine: Quarantine | None = None) -> Buckets:
    """Buckets of rows that share `structure_key` (and source and functional).

    Inside a bucket rows are ordered by energy, then id; a row without energy comes last.

    Args:
        columns: DEDUP_COLUMNS of the rows.
        settings: Whether sources are mixed.
        quarantine: Rows that stand for no other, as their energy can't be right; neither they nor frames take part.

    Returns:
        Buckets with two rows or more.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if columns.num_rows == 0:
        return Buckets([])
    labels = [columns["structure_key"]]
    if not settings.across_sources:
        labels = [columns["source"], columns["functional"], *labels]
    joined = pc.binary_join_element_wise(*labels, "|").combine_chunks().dictionary_encode()
    code = np.asarray(pc.fill_null(joined.indices, -1)).astype(np.int64)
    code[np.asarray(pc.fill_null(pc.equal(columns["relaxation"], "frame"), False))] = -1
    code[in_quarantine(columns, quarantine or {})] = -1
    taking_part = np.flatnonzero(code >= 0)
    counts = np.bincount(code[taking_part], minlength=len(joined.dictionary))
    rows = taking_part[counts[code[taking_part]] > 1]
    energy = _ordering_energy(columns)[rows]
    source = np.asarray(_source_order(columns))[rows] if settings.across_sources else np.zeros(len(rows))
    names = columns["material_id"].take(pa.array(rows)).to_numpy(zero_copy_only=False)
    order = np.lexsort((names, np.nan_to_num(energy, nan=np.inf), source, code[rows]))
    rows = rows[order]
    borders = np.flatnonzero(np.diff(code[rows])) + 1
    return Buckets([part.tolist() for part in np.split(rows, borders) if len(part)])


def _ordering_energy(columns: pa.Table) -> np.ndarray:
    """The energy that ranks equal structures: total with correction, else the source's formation energy; NaN: none."""

    def floats(name: str) -> np.ndarray:
        return np.asarray(columns[name].combine_chunks().to_numpy(zero_copy_only=False), dtype=np.float64)

    total = floats("energy_per_atom") + np.nan_to_num(floats("energy_correction_per_atom"))
    return np.where(np.isfinite(total), total, 1e6 + floats("formation_energy_per_atom_source"))


def _source_order(columns: pa.Table) -> list[int]:
    seen: dict[str, int] = {}
    return [seen.setdefault(s, len(seen)) for s in columns["source"].to_pylist()]


def duplicates(
    buckets: Buckets,
    structures: Callable[[list[int]], dict[int, Member]],
    settings: DedupSettings,
    *,
    workers: int = 1,
) -> dict[str, str]:
    """Find rows of the same crystal.

    Args:
        buckets: Rows that share their exact key.
        structures: Loads members by row index; it is asked for at most ROWS_IN_MEMORY rows at a time.
        settings: Tolerances.
        workers: Processes.

    Returns:
        material_id -> material_id of the row that stands for it.
    """
    out: dict[str, str] = {}
    work = partial(_groups, settings=settings.match)
    for chunk in ordered_map(work, _loaded(buckets, structures), workers=workers):
        out.update(chunk)
    return out


def _loaded(buckets: Buckets, structures: Callable[[list[int]], dict[int, Member]]) -> Iterator[list[list[Member]]]:
    chunk: list[list[int]] = []
    size = 0
    for bucket in buckets.rows:
        if chunk and size + len(bucket) > ROWS_IN_MEMORY:
            yield from _pieces(chunk, structures)
            chunk, size = [], 0
        chunk.append(bucket)
        size += len(bucket)
    if chunk:
        yield from _pieces(chunk, structures)


def _pieces(
    chunk: list[list[int]], structures: Callable[[list[int]], dict[int, Member]]
) -> Iterator[list[list[Member]]]:
    """One load, handed on in pieces small enough to keep all workers busy."""
    members = structures(sorted(row for bucket in chunk for row in bucket))
    for begin in range(0, len(chunk), 200):
        yield [[members[row] for row in bucket] for bucket in chunk[begin : begin + 200]]


def _groups(buckets: list[list[Member]], *, settings: MatchSettings) -> dict[str, str]:
    out: dict[str, str] = {}
    for bucket in buckets:
        out.update(group_bucket(bucket, settings))
    return out


def members_of(table: pa.Table) -> list[Member]:
    """The rows of a table (STRUCTURE_COLUMNS) as members for matching."""
    names = table["material_id"].to_pylist()
    lattices = np.asarray(table["lattice"].combine_chunks().flatten()).reshape(-1, 3, 3)
    frac = table["frac_coords"].to_pylist()
    numbers = table["atomic_numbers"].to_pylist()
    return [
        Member(name, lattice, np.array(x).reshape(-1, 3), np.array(z))
        for name, lattice, x, z in zip(names, lattices, frac, numbers, strict=True)
    ]
