"""Cleaning: rows that are not crystals are refused, rows outside the limits are set aside; each with its reason.

Two different things. *Refused* rows are broken (NaN, no volume, impossible element) and take part in nothing. *Dropped*
rows are sound but outside what the table publishes (too few or too many atoms, too far above the hull); they still
close hulls, which is why elements with one atom per cell stay useful.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from dao_core.crystal import MAX_VOLUME_PER_ATOM, MIN_VOLUME_PER_ATOM
from dao_core.elements import MAX_ATOMIC_NUMBER
from dao_core.matching.distances import any_closer_than

if TYPE_CHECKING:
    import pyarrow as pa

# eV/atom; a value in another unit or of a whole cell is beyond it. Total energies of pseudo-atoms reach some -10,000.
MAX_ABS_ENERGY = {"energy_per_atom": 1e5, "formation_energy_per_atom_source": 100.0, "e_above_hull_source": 100.0}


class CleanSettings(BaseModel):
    """Limits of what the table publishes (the paper: 3-30 atoms, less than 1 eV/atom above the hull)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_atoms: int = Field(3, ge=1)
    max_atoms: int = Field(30, ge=1)
    max_e_above_hull: float = Field(1.0, gt=0)
    min_distance: float = Field(0.5, ge=0, description="shortest distance between atoms in angstrom")


@dataclass(frozen=True)
class Cleaned:
    """A shard after cleaning: `sound` rows with `publishable` (rows,) beside them; `reasons` by id of the others."""

    sound: pa.Table
    publishable: NDArray[np.bool_]
    refused: dict[str, str]
    dropped: dict[str, str]


def clean(table: pa.Table, settings: CleanSettings) -> Cleaned:
    """Split a shard into sound rows and refused ones, and say which sound ones may be published.

    Args:
        table: Rows of CrysDB.
        settings: Limits.

    Returns:
        Both parts with the reasons.
    """
    import pyarrow as pa

    reasons = refusal_reasons(table, settings)
    ids = table["material_id"].to_pylist()
    sound = np.array([r is None for r in reasons], dtype=bool)
    kept = table.filter(pa.array(sound, type=pa.bool_()))
    n_atoms = np.asarray(kept["n_atoms"]).astype(np.int64)
    publishable = (n_atoms >= settings.min_atoms) & (n_atoms <= settings.max_atoms)
    kept_ids = kept["material_id"].to_pylist()
    dropped = {}
    for i in np.flatnonzero(~publishable):
        few = n_atoms[i] < settings.min_atoms
        dropped[kept_ids[i]] = (
            f"fewer than {settings.min_atoms} atoms" if few else f"more than {settings.max_atoms} atoms"
        )
    refused = {i: r for i, r in zip(ids, reasons, strict=True) if r is not None}
    return Cleaned(kept, publishable, refused, dropped)


def refusal_reasons(table: pa.Table, settings: CleanSettings) -> list[str | None]:
    """Why each row is not a crystal, or None where it is one."""
    import pyarrow.compute as pc

    rows = table.num_rows
    reasons: list[str | None] = [None] * rows

    def mark(bad: NDArray[np.bool_], why: str) -> None:
        for i in np.flatnonzero(bad):
            reasons[i] = reasons[i] or why

    if rows == 0:
        return reasons
    counts = np.asarray(table["n_atoms"]).astype(np.int64)
    lengths = np.asarray(pc.fill_null(pc.list_value_length(table["frac_coords"]), 0)).astype(np.int64)
    species = np.asarray(pc.fill_null(pc.list_value_length(table["atomic_numbers"]), 0)).astype(np.int64)
    mark(counts == 0, "no atoms")
    mark((lengths != 3 * counts) | (species != counts), "numbers of atoms and positions differ")
    lattices = np.asarray(table["lattice"].combine_chunks().flatten()).reshape(-1, 3, 3)
    finite = np.isfinite(lattices).all(axis=(1, 2))
    finite &= ~_any_in_row(~np.isfinite(np.asarray(table["frac_coords"].combine_chunks().flatten())), lengths)
    mark(~finite, "NaN or infinity in lattice or coordinates")
    numbers = np.asarray(table["atomic_numbers"].combine_chunks().flatten()).astype(np.int64)
    mark(
        _any_in_row((numbers < 1) | (numbers > MAX_ATOMIC_NUMBER), species),
        f"atomic number outside 1..{MAX_ATOMIC_NUMBER}",
    )
    with np.errstate(invalid="ignore"):
        volume = np.abs(np.linalg.det(np.where(np.isfinite(lattices), lattices, 0.0)))
    per_atom = volume / np.maximum(counts, 1)
    mark(per_atom < MIN_VOLUME_PER_ATOM, f"less than {MIN_VOLUME_PER_ATOM:g} A^3 per atom")
    mark(per_atom > MAX_VOLUME_PER_ATOM, f"more than {MAX_VOLUME_PER_ATOM:g} A^3 per atom")
    for name, limit in MAX_ABS_ENERGY.items():
        values = np.asarray(table[name].combine_chunks().to_numpy(zero_copy_only=False), dtype=np.float64)
        given = np.asarray(pc.is_valid(table[name]))
        mark(given & ~np.isfinite(values), f"{name} is NaN or infinite")
        mark(given & (np.abs(values) > limit), f"{name} beyond {limit:g} eV/atom")
    for name in ("forces", "stress"):
        lengths = np.asarray(pc.fill_null(pc.list_value_length(table[name]), 0)).astype(np.int64)
        values = np.asarray(table[name].combine_chunks().flatten(), dtype=np.float64)
        mark(_any_in_row(~np.isfinite(values), lengths), f"{name} with NaN or infinity")
    if settings.min_distance > 0:
        mark(_too_close(table, reasons, settings.min_distance), f"atoms closer than {settings.min_distance:g} A")
    return reasons


def _any_in_row(flags: NDArray[np.bool_], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether any flag is set among each row's values; `flags` (sum of lengths,)."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    return np.bincount(owner[flags], minlength=len(lengths)) > 0


def _too_close(table: pa.Table, reasons: list[str | None], cutoff: float) -> NDArray[np.bool_]:
    """Rows in which two atoms, or an atom and its image, are closer than `cutoff` angstrom; rows of a size together."""
    import pyarrow as pa

    out = np.zeros(len(reasons), dtype=bool)
    sound = np.array([r is None for r in reasons], dtype=bool)
    counts = np.asarray(table["n_atoms"]).astype(np.int64)
    where = np.flatnonzero(sound)
    kept = table.select(["lattice", "frac_coords"]).filter(pa.array(sound, type=pa.bool_()))
    lattices = np.asarray(kept["lattice"].combine_chunks().flatten()).reshape(-1, 3, 3)
    frac = np.asarray(kept["frac_coords"].combine_chunks().flatten()).reshape(-1, 3)
    starts = np.concatenate([[0], np.cumsum(counts[where])])
    for size in np.unique(counts[where]):
        members = np.flatnonzero(counts[where] == size)
        for chunk in np.array_split(members, max(1, len(members) * int(size) ** 2 // 2_000_000)):
            x = frac[starts[chunk][:, None] + np.arange(size)]  # (R, N, 3)
            out[where[chunk]] = any_closer_than(lattices[chunk], x, cutoff)
    return out
