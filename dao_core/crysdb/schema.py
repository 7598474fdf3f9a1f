"""The columns of CrysDB, and `CrysRecord`: one row as a typed Python value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.elements import chemical_system, reduced_formula

if TYPE_CHECKING:
    import pyarrow as pa

# name -> arrow type
_COLUMNS: dict[str, str] = {
    "material_id": "string",
    "source": "string",
    "source_version": "string",
    "functional": "string",
    "formula_reduced": "string",
    "chemsys": "string",
    "n_atoms": "int16",
    "atomic_numbers": "list<int16>",
    "lattice": "lattice",
    "frac_coords": "list<double>",
    "energy_per_atom": "double",
    "energy_correction_per_atom": "double",
    "formation_energy_per_atom": "double",
    "formation_energy_per_atom_source": "double",
    "e_above_hull": "double",
    "e_above_hull_source": "double",
    "is_stable": "bool",
    "spacegroup_number": "int16",
    "structure_key": "string",
    "prototype_key": "string",
    "duplicate_of": "string",
    "leaks_into": "list<string>",
    "parent_id": "string",
    "relaxation": "string",
    "forces": "list<double>",
    "stress": "list<double>",
    "license": "string",
    "ingested_at": "string",
    "row_hash": "string",
}
COLUMNS: tuple[str, ...] = tuple(_COLUMNS)


class SchemaError(ValueError):
    """A table or record that does not have CrysDB's columns or types; the message names them."""


@dataclass
class CrysRecord:
    """One row of CrysDB.

    Shapes and units: `lattice` (3, 3) angstrom, rows are vectors; `frac_coords` (N, 3); `forces` (N, 3) eV/angstrom;
    `stress` (3, 3) eV/angstrom^3, tension positive. `energy_per_atom` is raw (uncorrected) in eV;
    `energy_correction_per_atom` is kept beside it and never added in. A source puts its own published values into
    `formation_energy_per_atom_source` and `e_above_hull_source`; the same names without `_source` are ours.
    `relaxation` is None for an entry as its source relaxed it, "frame" for a step on the way, else a relaxation status
    ("converged", "max_steps"); `parent_id` names the row it was relaxed from. `row_hash` is the fingerprint of the row
    as it was ingested. None means unknown, never zero.
    """

    material_id: str
    source: str
    functional: str
    atomic_numbers: NDArray[np.int64]
    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    source_version: str | None = None
    energy_per_atom: float | None = None
    energy_correction_per_atom: float | None = None
    formation_energy_per_atom: float | None = None
    formation_energy_per_atom_source: float | None = None
    e_above_hull: float | None = None
    e_above_hull_source: float | None = None
    is_stable: bool | None = None
    spacegroup_number: int | None = None
    structure_key: str | None = None
    prototype_key: str | None = None
    duplicate_of: str | None = None
    leaks_into: list[str] = field(default_factory=list)
    parent_id: str | None = None
    relaxation: str | None = None
    forces: NDArray[np.float64] | None = None
    stress: NDArray[np.float64] | None = None
    license: str | None = None
    ingested_at: str | None = None
    row_hash: str | None = None

    @property
    def n_atoms(self) -> int:
        """Atoms in the cell."""
        return len(self.atomic_numbers)

    @property
    def formula_reduced(self) -> str:
        """In pymatgen's order, such as SrTiO3."""
        return reduced_formula(self.atomic_numbers)

    @property
    def chemsys(self) -> str:
        """Alphabetical, such as O-Sr-Ti."""
        return chemical_system(self.atomic_numbers)

    @property
    def crystal(self) -> Crystal:
        """The structure. Raises InvalidCrystalError where the numbers are not a crystal."""
        return Crystal(self.lattice, self.frac_coords, self.atomic_numbers)

    @classmethod
    def from_crystal(
        cls, crystal: Crystal, *, material_id: str, source: str, functional: str, **columns: Any
    ) -> CrysRecord:
        """A record from a structure.

        Args:
            crystal: The structure.
            material_id: Of the record.
            source: Name of its source.
            functional: What made its energies.
            **columns: Further fields by name.

        Returns:
            The record.
        """
        return cls(
            material_id=material_id,
            source=source,
            functional=functional,
            atomic_numbers=crystal.atomic_numbers,
            lattice=crystal.lattice,
            frac_coords=crystal.frac_coords,
            **columns,
        )


def utc_now() -> str:
    """The time of ingestion, ISO 8601 in UTC to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=1)
def schema() -> pa.Schema:
    """The arrow schema of a CrysDB table, columns in order."""
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "int16": pa.int16(),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "list<int16>": pa.list_(pa.int16()),
        "list<double>": pa.list_(pa.float64()),
        "list<string>": pa.list_(pa.string()),
        "lattice": pa.list_(pa.float64(), 9),
    }
    return pa.schema([(name, types[kind]) for name, kind in _COLUMNS.items()])


def __getattr__(name: str) -> Any:
    if name == "SCHEMA":  # pyarrow is only imported by those who ask for it
        return schema()
    raise AttributeError(name)


def _flat(array: NDArray[np.float64] | None) -> list[float] | None:
    return None if array is None else np.asarray(array, dtype=np.float64).ravel().tolist()


_ARRAYS = ("lattice", "frac_coords", "forces", "stress")
_PLAIN = tuple(f.name for f in fields(CrysRecord) if f.name not in (*_ARRAYS, "atomic_numbers"))


def records_to_table(records: Iterable[CrysRecord]) -> pa.Table:
    """Arrow table with exactly `SCHEMA`'s columns. Raises SchemaError naming the column that does not fit."""
    import pyarrow as pa

    rows = list(records)
    columns: dict[str, list[Any]] = {name: [getattr(r, name) for r in rows] for name in _PLAIN}
    for name in _ARRAYS:
        columns[name] = [_flat(getattr(r, name)) for r in rows]
    columns["atomic_numbers"] = [np.asarray(r.atomic_numbers).tolist() for r in rows]
    columns["n_atoms"] = [r.n_atoms for r in rows]
    columns["formula_reduced"] = [r.formula_reduced for r in rows]
    columns["chemsys"] = [r.chemsys for r in rows]
    arrays = []
    for entry in schema():
        try:
            arrays.append(pa.array(columns[entry.name], type=entry.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SchemaError(f"column {entry.name}: {error}") from error
    return pa.Table.from_arrays(arrays, schema=schema())


def conform(table: pa.Table) -> pa.Table:
    """The table with CrysDB's columns, order and types; absent columns become null. Raises SchemaError."""
    import pyarrow as pa

    unknown = set(table.column_names) - set(COLUMNS)
    if unknown:
        raise SchemaError(f"columns that CrysDB does not have: {sorted(unknown)}")
    columns = []
    for entry in schema():
        if entry.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, entry.type))
            continue
        try:
            columns.append(table[entry.name].cast(entry.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaError(
                f"column {entry.name} is {table[entry.name].type}, expected {entry.type}: {error}"
            ) from error
    return pa.Table.from_arrays(columns, schema=schema())


def _shaped(row: dict[str, Any], name: str, shape: tuple[int, int]) -> NDArray[np.float64] | None:
    values = row[name]
    return None if values is None else np.array(values, dtype=np.float64).reshape(shape)


def table_to_records(table: pa.Table) -> list[CrysRecord]:
    """Records from a table with CrysDB's columns (missing ones become None). Raises SchemaError."""
    records = []
    for row in conform(table).to_pylist():
        plain = {name: row[name] for name in _PLAIN}
        plain["leaks_into"] = row["leaks_into"] or []
        records.append(
            CrysRecord(
                **plain,
                atomic_numbers=np.array(row["atomic_numbers"], dtype=np.int64),
                lattice=np.array(row["lattice"], dtype=np.float64).reshape(3, 3),
                frac_coords=np.array(row["frac_coords"], dtype=np.float64).reshape(-1, 3),
                forces=_shaped(row, "forces", (-1, 3)),
                stress=_shaped(row, "stress", (3, 3)),
            )
        )
    return records
