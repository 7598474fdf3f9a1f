"""Formation energies and hull distances of all rows at once, one hull for each source and functional."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dao_core.crysdb.steps.compositions import Compositions
from dao_core.crysdb.steps.quarantine import (
    Quarantine,
    Quarantined,
    Reasons,
    far_from_its_formula,
    in_quarantine,
    too_low,
    wrong_references,
)
from dao_core.hull.facets import NOISE
from dao_core.hull.hull import Hull, HullEntry
from dao_core.hull.label import EnergyLabel
from dao_core.hull.references import ElementalReferences

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
    "parent_id",
    "relaxation",
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
    made: CheckedHull


def known_distance(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> pa.ChunkedArray:
    """The larger of two hull distances, the known one where only one is, null where none is.

    Missing rows raise a hull and so shorten distances to it: of two hulls the larger distance is nearer the truth.

    Args:
        ours: eV/atom.
        theirs: eV/atom.

    Returns:
        eV/atom.
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
    """The hull of each source and functional with the values of all its rows.

    Args:
        entries: Columns ENTRY_COLUMNS.
        settings: Which energies make the hulls.

    Yields:
        A result for each source and functional.
    """
    import pyarrow as pa

    for _, _, rows in by_functional(entries):
        table = entries.take(pa.array(rows))
        made = make_hull(table, settings)
        yield HullResult(rows, *hull_values(table, made), made)


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table[name].combine_chunks().to_numpy(zero_copy_only=False), dtype=np.float64)


def choose_label(table: pa.Table, settings: HullSettings) -> EnergyLabel:
    """Which of their energies the hull of some rows stands on.

    Args:
        table: Rows of one source and functional.
        settings: Of the hulls.

    Returns:
        The label of those energies.
    """
    source, functional = table["source"][0].as_py(), table["functional"][0].as_py()
    total = _floats(table, "energy_per_atom")
    if settings.energy == "formation" or (settings.energy == "auto" and not np.isfinite(total).any()):
        return EnergyLabel(functional, "formation", source=source)
    corrected = bool(np.isfinite(_floats(table, "energy_correction_per_atom")).any())
    return EnergyLabel(functional, "total", corrected, source)


def energies_of(table: pa.Table, label: EnergyLabel) -> NDArray[np.float64]:
    """The rows' energies of a label.

    Where a source corrects any of its energies, rows without a (possibly zero) correction stay out: raw and corrected
    energies do not mix.

    Args:
        table: Rows of one source and functional.
        label: Which of their energies.

    Returns:
        (rows,) in eV/atom, NaN where a row has none.
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


@dataclass(frozen=True)
class Energies:
    """Rows of one source and functional with the energies that their hull stands on.

    Attributes:
        label: What the energies mean.
        energy: (rows,) eV/atom, NaN where a row has none.
        compositions: Of the rows.
        is_reference: (rows,) False for validated candidates, which are no reference of an element.
    """

    label: EnergyLabel
    energy: NDArray[np.float64]
    compositions: Compositions
    is_reference: NDArray[np.bool_]

    @classmethod
    def of(cls, table: pa.Table, label: EnergyLabel) -> Energies:
        """From rows with the columns ENTRY_COLUMNS."""
        import pyarrow.compute as pc

        # a relaxation goes on from what a source published; a parent without one is a candidate that was computed
        candidate = pc.and_(pc.is_valid(table["parent_id"]), pc.is_null(table["relaxation"]))
        return cls(label, energies_of(table, label), Compositions(table), ~np.asarray(candidate))

    def references(self, refused: Collection[int]) -> dict[int, int]:
        """Atomic number -> row of the lowest energy of each element, refused rows left out."""
        counts = self.is_reference.copy()
        counts[list(refused)] = False
        lowest = self.compositions.lowest(self.energy, among=counts)
        return {
            next(iter(c)): int(row)
            for c, row in zip(self.compositions.counts, lowest, strict=True)
            if len(c) == 1 and row >= 0
        }


@dataclass(frozen=True)
class CheckedHull:
    """The hull of some rows, and the ones whose energy is not believed: they are on no hull."""

    hull: Hull
    quarantine: Quarantine


def make_hull(
    table: pa.Table, settings: HullSettings, *, label: EnergyLabel | None = None, zero: bool | None = None
) -> CheckedHull:
    """The hull of rows, without the energies that cannot be right.

    Args:
        table: Rows of one source and functional (columns ENTRY_COLUMNS).
        settings: How hulls are made.
        label: Which of the rows' energies to use; default: as the rows have them.
        zero: Whether elements without a row stand at zero; default: as the rows have distances of their own.

    Returns:
        The hull, and the rows that were kept off it.
    """
    rows = Energies.of(table, label or choose_label(table, settings))
    ids = table["material_id"].to_pylist()
    refused = far_from_its_formula(rows.energy, rows.compositions)
    references = _references(rows, refused)
    published = _floats(table, "formation_energy_per_atom_source")
    ours = _formation(rows, references)
    refused = too_low(np.where(np.isnan(ours), published, ours), rows.compositions) | refused
    believed = np.ones(table.num_rows, dtype=bool)
    believed[list(refused)] = False

    def entry(row: int) -> HullEntry:
        return HullEntry(rows.compositions.counts[rows.compositions.code[row]], float(rows.energy[row]), ids[row])

    lowest = rows.compositions.lowest(rows.energy, among=believed)
    entries = [entry(int(row)) for row in lowest[lowest >= 0]]
    if rows.label.kind == "formation":
        at_zero = elements_at_zero(table, settings) if zero is None else zero
        hull = Hull.from_entries(entries, rows.label, elements_at_zero=at_zero)
    else:
        hull = Hull.from_entries(entries, rows.label, references=[entry(row) for row in references.values()])
    quarantined = [Quarantined(entry(row), rows.label, reason) for row, reason in sorted(refused.items())]
    return CheckedHull(hull, {q.key: q for q in quarantined})


def _references(rows: Energies, refused: Reasons) -> dict[int, int]:
    """The rows of the elements' references; one that can't be right goes to `refused`, and the next lowest is taken."""
    references = rows.references(refused)
    while rows.label.kind == "total":
        wrong = wrong_references(references, rows.energy, rows.compositions)
        if not wrong:
            break
        refused |= {references[z]: reason for z, reason in wrong.items()}
        references = rows.references(refused)
    return references


def _formation(rows: Energies, references: Mapping[int, int]) -> NDArray[np.float64]:
    """Formation energy of each row in eV/atom, (rows,), NaN where unknown."""
    if rows.label.kind == "formation":
        return rows.energy
    elements = ElementalReferences(rows.label, {z: float(rows.energy[row]) for z, row in references.items()})
    return rows.energy - _elements_energies(elements, rows.compositions)[rows.compositions.code]


def _elements_energies(elements: ElementalReferences, compositions: Compositions) -> NDArray[np.float64]:
    """Energy per atom of the elements in each composition's proportions, NaN where one has no reference."""
    means = (elements.elements_energy(counts) for counts in compositions.counts)
    return np.array([np.nan if mean is None else mean for mean in means])


def hull_values(table: pa.Table, made: CheckedHull) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values of rows under a hull.

    Args:
        table: Rows of one source and functional (columns ENTRY_COLUMNS).
        made: Their hull.

    Returns:
        Formation energy and hull distance of each row in eV/atom, (rows,) each, NaN where unknown.
    """
    energy = energies_of(table, made.hull.label)
    compositions = Compositions(table)
    formation = energy - _elements_energies(made.hull.references, compositions)[compositions.code]
    above = formation - _hull_energies(made.hull, compositions)[compositions.code]
    single = np.array([len(counts) == 1 for counts in compositions.counts])[compositions.code]
    above[(np.abs(above) < NOISE) | (single & (above < 0))] = 0.0  # an element is not below its own reference
    above[in_quarantine(table, made.quarantine)] = np.nan
    return formation, above


def _hull_energies(hull: Hull, compositions: Compositions) -> NDArray[np.float64]:
    """Formation energy of the hull at each composition, NaN where an element has no reference."""
    out = np.full(len(compositions), np.nan)
    systems: dict[tuple[int, ...], list[int]] = {}
    for i, counts in enumerate(compositions.counts):
        systems.setdefault(tuple(counts), []).append(i)
    for elements in sorted(systems, key=len):  # subsystems first: larger ones reuse their vertices
        system = hull.system(elements)
        if system is not None:
            members = systems[elements]
            x = np.array([[compositions.counts[i][z] for z in elements] for i in members], dtype=np.float64)
            out[members] = system.energy_per_atom(x / x.sum(axis=1, keepdims=True))
    return out
