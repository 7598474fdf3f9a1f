"""What the library knows of a composition: all its polymorphs with the library's own hull distance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.library.folder import Library

LARGEST_KNOWN = 100  # atoms of a primitive cell: garnets have 80


@dataclass(frozen=True)
class KnownStructure:
    """A structure of the library.

    Attributes:
        material_id: Such as "oqmd-icsd-5714".
        source: As in CrysDB, such as "oqmd-icsd".
        license: Of the entry.
        crystal: The structure.
        spacegroup_number: At CrysDB's tolerance.
        e_above_hull: In eV/atom above its own source's hull, at least 0; None where the source has no energy.
        formation_energy_per_atom: In eV, the source's own.
        n_measured: How often it was measured at ordinary conditions, as far as the library knows.
        mineral: Its name, such as "quartz".
    """

    material_id: str
    source: str
    license: str | None
    crystal: Crystal
    spacegroup_number: int | None
    e_above_hull: float | None
    formation_energy_per_atom: float | None
    n_measured: int = 0
    mineral: str | None = None

    @property
    def formula_reduced(self) -> str:
        """As in CrysDB."""
        return self.crystal.formula_reduced

    @property
    def atomic_numbers(self) -> np.ndarray:
        """Of all atoms, (N,)."""
        return self.crystal.atomic_numbers


class LibraryStructures:
    """A library as a search asks it: by reduced formula."""

    def __init__(self, library: Library) -> None:
        """Take a library that was opened; nothing is read yet."""
        self.library = library

    @property
    def source(self) -> str:
        """Names of the sources and a hash of all rows, for content keys and pages."""
        return f"{', '.join(s.name for s in self.library.sources)} ({self.library.content})"

    @cached_property
    def _formulas(self) -> frozenset[str]:
        import pyarrow.parquet as pq

        column = pq.read_table(self.library.structures_file, columns=["formula_reduced"])["formula_reduced"]
        return frozenset(column.unique().to_pylist())

    def formulas(self) -> frozenset[str]:
        """Every reduced formula that the library holds."""
        return self._formulas

    def of_formula(self, reduced: str) -> list[KnownStructure]:
        """All structures of a reduced formula, lowest distance from the hull first, unknown ones last."""
        return known_structures(self.library, reduced)


def known_structures(library: Library, formula: str) -> list[KnownStructure]:
    """All polymorphs of a composition, lowest first, those without an energy last; milliseconds.

    Args:
        library: Where to look.
        formula: Any spelling of the composition, such as "SrTiO3" or "O3SrTi".

    Returns:
        The structures, distances to their source's hull in eV/atom.
    """
    from pymatgen.core import Composition

    reduced = Composition(formula).reduced_formula
    found = list(_read(library, reduced))
    return sorted(found, key=lambda k: (k.e_above_hull is None, k.e_above_hull or 0.0, k.material_id))


def _read(library: Library, reduced: str) -> Iterator[KnownStructure]:
    for row in _rows_of(library, reduced):
        lattice, frac = np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3))
        try:
            crystal = Crystal(lattice, frac, np.array(row["atomic_numbers"]))
        except InvalidCrystalError:
            continue
        yield KnownStructure(
            row["material_id"],
            row["source"],
            row["license"],
            crystal,
            row["spacegroup_number"],
            row["e_above_hull"],
            row["formation_energy_per_atom_source"],
            row["n_measured"],
            row["mineral"],
        )


def _rows_of(library: Library, reduced: str) -> Iterator[dict[str, Any]]:
    """Rows of a formula; only the row groups that may hold it are read, as they are sorted by formula.

    By hand: pyarrow's own filters import pandas, which takes longer than all of this.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(library.structures_file) as file:
        column = file.schema_arrow.get_field_index("formula_reduced")
        for i in range(file.num_row_groups):
            limits = file.metadata.row_group(i).column(column).statistics
            if limits is not None and limits.has_min_max and not limits.min <= reduced <= limits.max:
                continue
            rows = file.read_row_group(i)
            names = rows["formula_reduced"].to_pylist()
            if reduced in names:
                yield from rows.slice(names.index(reduced), names.count(reduced)).to_pylist()
