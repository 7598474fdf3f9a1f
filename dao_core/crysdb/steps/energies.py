"""Formation energies and hull distances of all rows at once, one hull for each source and functional."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dao_core.hull.facets import NOISE
from dao_core.hull.hull import MIN_FORMATION, Hull, HullEntry, count_atoms
from dao_core.hull.label import EnergyLabel

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
    hull: Hull


def known_distance(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> pa.ChunkedArray:
    """The larger of two hull distances, the known one where only one is, null where none is.

    Missing rows raise a hull and so shorten distances to it: of two hulls the larger distance is nearer the truth.
    """
    import pyarrow.compute as pc

    return pc.max_element_wise(ours, theirs)


def by_functional(entries: pa.Table) -> Iterator[tuple[str, str, NDArray[np.intp]]]:
    """The sources and functionals of a table, each with the numbers of its rows: what one hull is made for."""
    import pyarrow.compute as pc

    if entries.num_rows == 0:
        return
    separator = "\x1f"  # of units in ASCII: in no name
    names = pc.binary_join_element_wise(entries["source"], entries["functional"], separator).combine_chunks()
    coded = names.dictionary_encode()
    codes = np.asarray(coded.indices)
    for code, name in enumerate(coded.dictionary.to_pylist()):
        source, functional = name.split(separator)
        yield source, functional, np.flatnonzero(codes == code)


def hull_results(entries: pa.Table, settings: HullSettings) -> Iterator[HullResult]:
    """The hull of each source and functional in `entries` (columns ENTRY_COLUMNS) with all its rows' values."""
    import pyarrow as pa

    for _, _, rows in by_functional(entries):
        table = entries.take(pa.array(rows))
        hull = make_hull(table, settings)
        yield HullResult(rows, *hull_values(table, hull), hull)


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table[name].combine_chunks().to_numpy(zero_copy_only=False), dtype=np.float64)


def choose_label(table: pa.Table, settings: HullSettings) -> EnergyLabel:
    """Which of their energies the hull of these rows (one source and functional) stands on."""
    source, functional = table["source"][0].as_py(), table["functional"][0].as_py()
    total = _floats(table, "energy_per_atom")
    if settings.energy == "formation" or (settings.energy == "auto" and not np.isfinite(total).any()):
        return EnergyLabel(functional, "formation", source=source)
    corrected = bool(np.isfinite(_floats(table, "energy_correction_per_atom")).any())
    return EnergyLabel(functional, "total", corrected, source)


def energies_of(table: pa.Table, label: EnergyLabel) -> NDArray[np.float64]:
    """The rows' energies per atom of a label, NaN where a row has none.

    Where a source corrects any of its energies, rows without a (possibly zero) correction stay out: raw and corrected
    energies do not mix.
    """
    if label.kind == "formation":
        return _floats(table, "formation_energy_per_atom_source")
    total = _floats(table, "energy_per_atom")
    return total + _floats(table, "energy_correction_per_atom") if label.corrected else total


def elements_at_zero(table: pa.Table, settings: HullSettings) -> bool:
    """Whether the formation hull of these rows takes elements without a row at zero."""
    if settings.elements_at_zero is not None:
        return settings.elements_at_zero
    return bool(np.isfinite(_floats(table, "e_above_hull_source")).any())


def make_hull(
    table: pa.Table, settings: HullSettings, *, label: EnergyLabel | None = None, zero: bool | None = None
) -> Hull:
    """The hull of rows.

    Args:
        table: Rows of one source and functional (columns ENTRY_COLUMNS).
        settings: How hulls are made.
        label: Which of the rows' energies to use; default: as the rows have them.
        zero: Whether elements without a row stand at zero; default: as the rows have distances of their own.
    """
    import pyarrow as pa

    label = label or choose_label(table, settings)
    energy = energies_of(table, label)
    formulas = _Formulas(table)
    lowest = formulas.lowest(energy)
    _leave_out_impossible(lowest, formulas, energy, label)
    used = np.flatnonzero(lowest >= 0)
    ids = table["material_id"].take(pa.array(lowest[used])).to_pylist()
    entries = (HullEntry(formulas.counts[i], float(energy[lowest[i]]), name) for i, name in zip(used, ids, strict=True))
    return Hull.from_entries(
        entries, label, elements_at_zero=elements_at_zero(table, settings) if zero is None else zero
    )


def _leave_out_impossible(
    lowest: NDArray[np.intp], formulas: _Formulas, energy: NDArray[np.float64], label: EnergyLabel
) -> None:
    """Where a formula's lowest energy is beyond any compound's, the lowest of its other rows takes the place."""
    unary = {next(iter(c)): energy[row] for c, row in zip(formulas.counts, lowest, strict=True)
             if len(c) == 1 and row >= 0}  # fmt: skip
    references = {z: 0.0 if label.kind == "formation" else e for z, e in unary.items()}
    highest = max(references.values(), default=0.0)
    values = np.where(lowest >= 0, energy[lowest], np.inf)
    for i in np.flatnonzero(values < highest + MIN_FORMATION):
        counts = formulas.counts[i]
        if len(counts) < 2 or (label.kind != "formation" and not counts.keys() <= references.keys()):
            continue
        mean = sum(n * references.get(z, 0.0) for z, n in counts.items()) / sum(counts.values())
        rows = np.flatnonzero(formulas.code == i)
        possible = rows[energy[rows] >= mean + MIN_FORMATION]
        lowest[i] = possible[np.argmin(energy[possible])] if len(possible) else -1


def hull_values(table: pa.Table, hull: Hull) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values of rows under a hull.

    Args:
        table: Rows of one source and functional (columns ENTRY_COLUMNS).
        hull: Theirs.

    Returns:
        Formation energy and hull distance of each row in eV/atom, (rows,) each, NaN where unknown.
    """
    energy = energies_of(table, hull.label)
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
        self.counts = [count_atoms(a) for a in atoms]

    def lowest(self, energy: NDArray[np.float64]) -> NDArray[np.intp]:
        """The row of each formula's lowest energy, (formulas,), -1 where no row has one."""
        known = np.flatnonzero(np.isfinite(energy))
        order = known[np.lexsort((known, energy[known]))[::-1]]
        out = np.full(len(self.counts), -1)
        out[self.code[order]] = order  # the last one written is the lowest
        return out


def _per_formula(counts: list[dict[int, int]], hull: Hull) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energy of the elements and hull formation energy of each composition, NaN where an element has no reference."""
    reference = np.full(len(counts), np.nan)
    floor = np.full(len(counts), np.nan)
    systems: dict[tuple[int, ...], list[int]] = {}
    for i, c in enumerate(counts):
        mean = hull.references.elements_energy(c)
        if mean is not None:
            reference[i] = mean
            systems.setdefault(tuple(sorted(c)), []).append(i)
    for elements in sorted(systems, key=len):  # subsystems first: larger ones reuse their vertices
        system = hull.system(elements)
        if system is not None:
            members = systems[elements]
            x = np.array([[counts[i][z] for z in elements] for i in members], dtype=np.float64)
            floor[members] = system.energy_per_atom(x / x.sum(axis=1, keepdims=True))
    return reference, floor
