"""Formation energies and hull distances of all rows at once, one hull for each source and functional."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dao_core.hull.hull import MIN_FORMATION, NOISE, HullSet

if TYPE_CHECKING:
    import pyarrow as pa

# what a row must say to take part in a hull
ENTRY_COLUMNS = (
    "material_id",
    "source",
    "functional",
    "formula_reduced",
    "chemsys",
    "atomic_numbers",
    "energy_per_atom",
    "energy_correction_per_atom",
    "formation_energy_per_atom_source",
    "e_above_hull_source",
    "row_hash",
)


class HullSettings(BaseModel):
    """How hulls are made.

    `energy`: "total" uses energy_per_atom (plus its correction), "formation" the source's own formation energies,
    "auto" total where the source and functional has any, else formation. `elements_at_zero`: in formation hulls an
    element without a row of its own stands at its definition, zero (the build's report names these elements), or its
    systems have no hull. None: at zero where the source gives hull distances of its own, as OQMD does. They show what
    rows are missing; without them a handful of rows would all lie on a hull that they alone make.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    energy: Literal["auto", "total", "formation"] = "auto"
    elements_at_zero: bool | None = None


@dataclass(frozen=True)
class HullResult:
    """Of one source and functional: the rows it is about and their values, NaN where unknown."""

    rows: NDArray[np.intp]
    formation_energy_per_atom: NDArray[np.float64]
    e_above_hull: NDArray[np.float64]
    hull: HullSet


def known_distance(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> pa.ChunkedArray:
    """The larger of two hull distances, the known one where only one is, null where none is.

    Missing rows raise a hull and so shorten distances to it: of two hulls the larger distance is nearer the truth.
    """
    import pyarrow.compute as pc

    return pc.max_element_wise(ours, theirs)


def hull_identity(source: str, functional: str, kind: str) -> str:
    """Name of what made a hull's energies; two hulls with different names are never mixed."""
    return f"{source}|{functional}|{kind}"


def hull_results(entries: pa.Table, settings: HullSettings) -> Iterator[HullResult]:
    """The hull of each (source, functional) in `entries` (columns ENTRY_COLUMNS) with all its rows' values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    labels = (
        pc.binary_join_element_wise(entries["source"], entries["functional"], "|").combine_chunks().dictionary_encode()
    )
    codes = np.asarray(labels.indices)
    for code in range(len(labels.dictionary)):
        rows = np.flatnonzero(codes == code)
        table = entries.take(pa.array(rows))
        hull, kind = make_hull(table, settings)
        yield HullResult(rows, *hull_values(table, hull, kind), hull)


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table[name].combine_chunks().to_numpy(zero_copy_only=False), dtype=np.float64)


def choose_kind(table: pa.Table, settings: HullSettings) -> str:
    """The kind of energies that the hull of these rows (one source and functional) stands on."""
    total = _floats(table, "energy_per_atom")
    if settings.energy == "formation" or (settings.energy == "auto" and not np.isfinite(total).any()):
        return "formation"
    return "total+correction" if np.isfinite(_floats(table, "energy_correction_per_atom")).any() else "total"


def energies_of(table: pa.Table, kind: str) -> NDArray[np.float64]:
    """The rows' energies per atom of a kind, NaN where a row has none.

    Where a source corrects any of its energies, rows without a (possibly zero) correction stay out: raw and corrected
    energies do not mix.
    """
    if kind == "formation":
        return _floats(table, "formation_energy_per_atom_source")
    total = _floats(table, "energy_per_atom")
    return total + _floats(table, "energy_correction_per_atom") if kind == "total+correction" else total


def elements_at_zero(table: pa.Table, settings: HullSettings) -> bool:
    """Whether the formation hull of these rows takes elements without a row at zero."""
    if settings.elements_at_zero is not None:
        return settings.elements_at_zero
    return bool(np.isfinite(_floats(table, "e_above_hull_source")).any())


def make_hull(
    table: pa.Table, settings: HullSettings, *, kind: str | None = None, zero: bool | None = None
) -> tuple[HullSet, str]:
    """The hull of rows of one source and functional, and the kind of energies it stands on.

    `kind` and `zero` (elements without a row at zero) are chosen by these rows unless given.
    """
    kind = kind or choose_kind(table, settings)
    energy = energies_of(table, kind)
    formulas = _Formulas(table)
    known = np.isfinite(energy)
    lowest = np.full(len(formulas.counts), np.inf)
    np.minimum.at(lowest, formulas.code[known], energy[known])
    _leave_out_impossible(lowest, formulas, energy, kind)
    hull = HullSet.from_entries(
        ((c, e) for c, e in zip(formulas.counts, lowest, strict=True) if np.isfinite(e)),
        identity=hull_identity(table["source"][0].as_py(), table["functional"][0].as_py(), kind),
        kind="formation" if kind == "formation" else "total",
        zero=elements_at_zero(table, settings) if zero is None else zero,
    )
    return hull, kind


def _leave_out_impossible(
    lowest: NDArray[np.float64], formulas: _Formulas, energy: NDArray[np.float64], kind: str
) -> None:
    """Where a formula's lowest energy is beyond any compound's, the lowest of its other rows takes the place."""
    unary = {next(iter(c)): e for c, e in zip(formulas.counts, lowest, strict=True) if len(c) == 1}
    references = {z: 0.0 if kind == "formation" else e for z, e in unary.items() if np.isfinite(e)}
    highest = max(references.values(), default=0.0)
    for i in np.flatnonzero(lowest < highest + MIN_FORMATION):
        counts = formulas.counts[i]
        if len(counts) < 2 or (kind != "formation" and not counts.keys() <= references.keys()):
            continue
        mean = sum(n * references.get(z, 0.0) for z, n in counts.items()) / sum(counts.values())
        own = energy[formulas.code == i]
        lowest[i] = np.min(own, where=own >= mean + MIN_FORMATION, initial=np.inf)


def hull_values(table: pa.Table, hull: HullSet, kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Formation energy and hull distance of each row in eV/atom, NaN where unknown."""
    energy = energies_of(table, kind)
    formulas = _Formulas(table)
    reference, floor = _per_formula(formulas.counts, hull)
    formation = energy - reference[formulas.code]
    above = formation - floor[formulas.code]
    above[np.abs(above) < NOISE] = 0.0
    above[formation < MIN_FORMATION] = np.nan
    return formation, above


class _Formulas:
    """The different compositions of a table: `counts` of each, and `code` (rows,) into them."""

    def __init__(self, table: pa.Table) -> None:
        import pyarrow as pa

        formulas = table["formula_reduced"].combine_chunks().dictionary_encode()
        self.code = np.asarray(formulas.indices)
        first = np.full(len(formulas.dictionary), -1)
        first[self.code[::-1]] = np.arange(len(self.code))[::-1]  # a row of each formula
        atoms = table["atomic_numbers"].take(pa.array(first)).to_pylist()
        self.counts = [_count(a) for a in atoms]


def _per_formula(counts: list[dict[int, int]], hull: HullSet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energy of the elements and hull formation energy of each composition, NaN where an element has no reference."""
    reference = np.full(len(counts), np.nan)
    floor = np.full(len(counts), np.nan)
    references = hull.references.energies
    systems: dict[tuple[int, ...], list[int]] = {}
    for i, c in enumerate(counts):
        if all(z in references for z in c):
            reference[i] = sum(n * references[z] for z, n in c.items()) / sum(c.values())
            systems.setdefault(tuple(sorted(c)), []).append(i)
    for elements in sorted(systems, key=len):  # subsystems first: larger ones reuse their vertices
        system = hull.system(elements)
        if system is not None:
            members = systems[elements]
            x = np.array([[counts[i][z] for z in elements] for i in members], dtype=np.float64)
            floor[members] = system.energy_per_atom(x / x.sum(axis=1, keepdims=True))
    return reference, floor


def _count(atomic_numbers: list[int]) -> dict[int, int]:
    out: dict[int, int] = {}
    for z in atomic_numbers:
        out[z] = out.get(z, 0) + 1
    return out


def hull_entry_table(hulls: list[HullSet]) -> pa.Table:
    """All hulls as one table that `HullSet.from_table` reads: the references, and the lowest entry of each formula."""
    import pyarrow as pa

    rows: list[dict[str, object]] = []
    for hull in hulls:
        for z, energy in sorted(hull.references.energies.items()):
            rows.append({"elements": (z,), "counts": (1,), "energy": float(energy), "hull": hull})
        for elements, reduced, formation in hull.entries():
            mu = sum(n * hull.references.energies[z] for z, n in zip(elements, reduced, strict=True)) / sum(reduced)
            rows.append({"elements": elements, "counts": reduced, "energy": float(formation + mu), "hull": hull})
    identities = [r["hull"].identity for r in rows]  # type: ignore[attr-defined]
    kinds = [r["hull"].references.kind for r in rows]  # type: ignore[attr-defined]
    return pa.table(
        {
            "identity": pa.array(identities, type=pa.string()),
            "kind": pa.array(kinds, type=pa.string()),
            "atomic_numbers": pa.array([r["elements"] for r in rows], type=pa.list_(pa.int16())),
            "counts": pa.array([r["counts"] for r in rows], type=pa.list_(pa.int32())),
            "energy_per_atom": pa.array([r["energy"] for r in rows], type=pa.float64()),
        }
    )
