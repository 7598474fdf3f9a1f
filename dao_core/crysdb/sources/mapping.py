"""How the columns of a foreign table map to CrysDB's, and the known layouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dao_core.crysdb.schema import CrysRecord
from dao_core.elements import atomic_number


class RowError(ValueError):
    """A row that cannot become a record; the message says why."""


class ColumnMapping(BaseModel):
    """Names of a table's columns. `None` where the table has none.

    Values under formation_energy_per_atom and e_above_hull are the source's own and go to the `_source` columns.
    `functional_column` appends a row's value to the source's functional, so that energies of different schemes in one
    file stay on different hulls.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    material_id: tuple[str, ...] = ("material_id", "id", "entry_id", "jid", "")
    lattice: str = "lattice"
    frac_coords: str = "frac_coords"
    atomic_numbers: tuple[str, ...] = ("atomic_numbers", "species", "elements")
    cif: tuple[str, ...] = ("cif", "cif_string")
    energy_per_atom: str | None = "energy_per_atom"
    energy: str | None = None
    energy_correction_per_atom: str | None = "energy_correction_per_atom"
    formation_energy_per_atom: tuple[str, ...] = ("formation_energy_per_atom", "delta_e")
    e_above_hull: tuple[str, ...] = ("e_above_hull", "stability")
    functional_column: str | None = None
    forces: str | None = "forces"
    stress: str | None = "stress"
    id_prefix: str = ""


MAPPINGS: Mapping[str, ColumnMapping] = {
    "default": ColumnMapping(),
    # one total-energy scheme for the hull; the published formation energies stay beside it
    "mp_structures": ColumnMapping(energy_per_atom="energy_per_atom_mpf2021"),
    "mp_20": ColumnMapping(energy_per_atom="energy_per_atom_mpf2021"),
    "oqmd": ColumnMapping(id_prefix="oqmd-"),
    "carbon_24": ColumnMapping(),
    "perov_5": ColumnMapping(formation_energy_per_atom=("heat_all",), id_prefix="perov5-"),
}


def _named(value: Any) -> Any:
    """The mapping behind a name."""
    if isinstance(value, str) and value not in MAPPINGS:
        raise ValueError(f"no column mapping {value!r}: use one of {', '.join(MAPPINGS)}, or give the columns' names")
    return MAPPINGS[value] if isinstance(value, str) else value


Columns = Annotated[ColumnMapping, BeforeValidator(_named)]  # or the name of a known layout


class MappingOptions(BaseModel):
    """What a file source adds to each row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    functional: str
    version: str | None = None
    license: str | None = None
    mapping: Columns = Field(default_factory=ColumnMapping)


def _first(row: Mapping[str, Any], names: tuple[str, ...] | str | None) -> Any:
    for name in (names,) if isinstance(names, str) else names or ():
        value = row.get(name)
        if value is not None and value != "":
            return value
    return None


def number(row: Mapping[str, Any], names: tuple[str, ...] | str | None) -> float | None:
    """A finite number or None. Raises RowError for NaN, infinity or text."""
    value = _first(row, names)
    if value is None:
        return None
    try:
        out = float(value)
    except (TypeError, ValueError):
        raise RowError(f"{names}: {value!r} is not a number") from None
    if not np.isfinite(out):
        raise RowError(f"{names} is {value}")
    return out


def structure_arrays(row: Mapping[str, Any], mapping: ColumnMapping) -> dict[str, Any]:
    """lattice, frac_coords and atomic_numbers of a row. Raises RowError."""
    cif = _first(row, mapping.cif)
    if cif is not None:
        from dao_core.crystal import Crystal, InvalidCrystalError

        try:
            crystal = Crystal.from_cif(cif)
        except InvalidCrystalError as error:
            raise RowError(str(error)) from error
        return {
            "lattice": crystal.lattice,
            "frac_coords": crystal.frac_coords,
            "atomic_numbers": crystal.atomic_numbers,
        }
    species = _first(row, mapping.atomic_numbers)
    missing = [n for n in (mapping.lattice, mapping.frac_coords) if row.get(n) is None]
    if species is None or missing:
        raise RowError(f"no {', '.join(missing) or 'atomic_numbers or species'}")
    try:
        numbers = [atomic_number(s) if isinstance(s, str) else int(s) for s in species]
        lattice = np.asarray(row[mapping.lattice], dtype=np.float64).reshape(3, 3)
        frac = np.asarray(row[mapping.frac_coords], dtype=np.float64).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise RowError(str(error)) from error
    if len(frac) != len(numbers):
        raise RowError(f"{len(numbers)} atoms but {len(frac)} positions")
    return {"lattice": lattice, "frac_coords": frac, "atomic_numbers": np.array(numbers, dtype=np.int64)}


def row_to_record(row: Mapping[str, Any], options: MappingOptions, fallback_id: str) -> CrysRecord:
    """A record from a row of a foreign table. Raises RowError with the reason where it cannot."""
    mapping = options.mapping
    arrays = structure_arrays(row, mapping)
    n_atoms = len(arrays["atomic_numbers"])
    energy = number(row, mapping.energy_per_atom)
    if energy is None and mapping.energy is not None:
        total = number(row, mapping.energy)
        energy = None if total is None else total / n_atoms
    functional = options.functional
    if mapping.functional_column is not None and row.get(mapping.functional_column) is not None:
        functional = f"{functional}:{row[mapping.functional_column]}"
    return CrysRecord(
        material_id=f"{mapping.id_prefix}{_first(row, mapping.material_id) or fallback_id}",
        source=options.name,
        source_version=options.version,
        functional=functional,
        energy_per_atom=energy,
        energy_correction_per_atom=number(row, mapping.energy_correction_per_atom),
        formation_energy_per_atom_source=number(row, mapping.formation_energy_per_atom),
        e_above_hull_source=number(row, mapping.e_above_hull),
        forces=_array(row, mapping.forces, (n_atoms, 3)),
        stress=_array(row, mapping.stress, (3, 3)),
        license=options.license,
        **arrays,
    )


def _array(row: Mapping[str, Any], name: str | None, shape: tuple[int, int]) -> Any:
    value = None if name is None else row.get(name)
    if value is None:
        return None
    try:
        return np.asarray(value, dtype=np.float64).reshape(shape)
    except (TypeError, ValueError) as error:
        raise RowError(f"{name}: {error}") from error
