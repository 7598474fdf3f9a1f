"""How the columns of a foreign table map to CrysDB's, and the known layouts."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.rows import RowError
from dao_core.crystal import Crystal
from dao_core.readers.base import Row, UnreadableError
from dao_core.readers.plain_rows import IDS, StructureColumns, arrays_and_notes, first_value, real_array
from dao_core.readers.row_checks import check_energy_units
from dao_core.readers.tensors import stress_of

SAME_ENERGY = 1e-3  # eV/atom; a total energy and one per atom are rounded
# as programs name what they computed: REF_energy, dft_forces, Stress
_LABELLED = re.compile(r"(?:\w+_)?(energy|force|stress|virial)s?", re.I)


class ColumnMapping(BaseModel):
    """Names of a table's columns. `None` where the table has none.

    Values under formation_energy_per_atom and e_above_hull are the source's own and go to the `_source` columns.
    `energy` is total, of the whole cell; extended xyz and ASE databases have it without being told. `stress` has six
    numbers (Voigt) or nine, a `virial` becomes one. `functional_column` appends a row's value to the source's
    functional, so that energies of different schemes in one file stay on different hulls. A dot goes into a nested
    value ("parameters.run_type").
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    material_id: tuple[str, ...] = IDS
    lattice: str = "lattice"
    frac_coords: str = "frac_coords"
    atomic_numbers: tuple[str, ...] = ("atomic_numbers", "species", "elements")
    cif: tuple[str, ...] = ("cif", "cif_string", "structure_cif")
    energy_per_atom: str | None = "energy_per_atom"
    energy: str | None = None
    energy_correction_per_atom: str | None = "energy_correction_per_atom"
    formation_energy_per_atom: tuple[str, ...] = ("formation_energy_per_atom", "delta_e")
    e_above_hull: tuple[str, ...] = ("e_above_hull", "stability")
    functional_column: str | None = None
    forces: str | None = "forces"
    stress: str | None = "stress"
    virial: str | None = "virial"
    id_prefix: str = ""

    @property
    def structure(self) -> StructureColumns:
        """The columns that hold a structure."""
        return StructureColumns(self.lattice, self.frac_coords, self.atomic_numbers, self.cif)

    def missing(self, seen: Collection[str]) -> list[str]:
        """Settings other than the defaults whose columns are not among those seen, as `energy ('REF_energy')`.

        A layout chosen by its name describes many files, of which some lack a column: nothing is missing there.
        """
        out: list[str] = []
        if self in MAPPINGS.values():
            return out
        for setting, field in type(self).model_fields.items():
            names = getattr(self, setting)
            wanted = (names,) if isinstance(names, str) else names or ()
            if setting != "id_prefix" and names != field.default and wanted and not set(wanted) & set(seen):
                out.append(f"{setting} ({', '.join(map(repr, wanted))})")
        return out


MAPPINGS: Mapping[str, ColumnMapping] = {
    "default": ColumnMapping(),
    # one total-energy scheme for the hull; the published formation energies stay beside it
    "mp_structures": ColumnMapping(energy_per_atom="energy_per_atom_mpf2021"),
    "mp_20": ColumnMapping(energy_per_atom="energy_per_atom_mpf2021"),
    "oqmd": ColumnMapping(id_prefix="oqmd-"),
    "carbon_24": ColumnMapping(),
    "perov_5": ColumnMapping(formation_energy_per_atom=("heat_all",), id_prefix="perov5-"),
}


def with_nested(columns: Mapping[str, Any]) -> dict[str, Any]:
    """A row's columns with the values inside nested ones beside them ("parameters.run_type").

    What pymatgen's entries keep under `parameters` and `data` has its plain name too, unless the row uses that itself.
    """
    out: dict[str, Any] = {}
    for name, value in columns.items():
        if isinstance(value, Mapping):
            out |= {f"{name}.{inner}": v for inner, v in value.items()}
            out |= value if name in ("parameters", "data") else {}
    return {**out, **columns}


def column_names(columns: Mapping[str, Any]) -> set[str]:
    """The columns in which a row has a value."""
    return {k for k, v in columns.items() if v is not None and not (isinstance(v, str) and not v.strip())}


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


def number(row: Mapping[str, Any], names: tuple[str, ...] | str | None) -> float | None:
    """A finite number or None. Raises RowError for NaN, infinity or text."""
    value = first_value(row, names)
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            raise ValueError("a truth value")  # noqa: TRY301, TRY004 - told below like any other text
        out = float(value)
    except (TypeError, ValueError, OverflowError):
        raise RowError(f"{names}: {str(value)[:40]!r} is not a number") from None
    if not np.isfinite(out):
        raise RowError(f"{names} is {value}")
    return out


def row_to_record(
    row: Row[Crystal | str | None], options: MappingOptions, fallback_id: str
) -> tuple[CrysRecord, tuple[str, ...]]:
    """A record from an entry of a foreign file.

    Args:
        row: The entry; its structure is made from its columns where it was not made yet.
        options: Names of the columns, and what is added to each row.
        fallback_id: The id of a row that has none.

    Returns:
        The record, and notes on what was understood rather than read.

    Raises:
        RowError: The row cannot become a record; the message says why.
    """
    try:
        return _record(row, options, fallback_id)
    except UnreadableError as error:
        raise RowError(str(error)) from error


def _record(
    row: Row[Crystal | str | None], options: MappingOptions, fallback_id: str
) -> tuple[CrysRecord, tuple[str, ...]]:
    mapping, columns, crystal, notes = options.mapping, row.columns, row.value, row.notes
    if isinstance(crystal, str):
        raise RowError(crystal)
    if crystal is None:
        (lattice, frac_coords, numbers), notes = arrays_and_notes(columns, mapping.structure)
    else:
        lattice, frac_coords, numbers = crystal.lattice, crystal.frac_coords, crystal.atomic_numbers
    n_atoms = len(numbers)
    check_energy_units(columns)
    functional = options.functional
    if mapping.functional_column is not None and columns.get(mapping.functional_column) is not None:
        functional = f"{functional}:{str(columns[mapping.functional_column]).strip()}"
    forces = None if mapping.forces is None else columns.get(mapping.forces)
    volume = abs(float(np.linalg.det(lattice))) or 1.0  # a flat cell is refused later, with the reason
    own_id = first_value(columns, mapping.material_id)
    if own_id is not None and first_value(columns, tuple(filter(None, mapping.material_id))) is None:
        own_id = None if str(own_id).isdecimal() else own_id  # a column without a name that counts rows is no id
    record = CrysRecord(
        material_id=f"{mapping.id_prefix}{fallback_id if own_id is None else own_id}",
        source=options.name,
        source_version=options.version,
        functional=functional,
        energy_per_atom=_energy_per_atom(columns, mapping, n_atoms),
        energy_correction_per_atom=number(columns, mapping.energy_correction_per_atom),
        formation_energy_per_atom_source=number(columns, mapping.formation_energy_per_atom),
        e_above_hull_source=number(columns, mapping.e_above_hull),
        forces=None if forces is None else real_array(str(mapping.forces), forces, (n_atoms, 3)),
        stress=stress_of(columns, volume, stress=mapping.stress, virial=mapping.virial),
        license=options.license,
        lattice=lattice,
        frac_coords=frac_coords,
        atomic_numbers=numbers,
    )
    return record, (*notes, *_left_aside(columns, mapping, record))


def _energy_per_atom(columns: Mapping[str, Any], mapping: ColumnMapping, n_atoms: int) -> float | None:
    """The energy from whichever of its two columns is there. Raises RowError where they contradict each other."""
    energy, total = number(columns, mapping.energy_per_atom), number(columns, mapping.energy)
    if total is None:
        return energy
    if energy is not None and abs(energy - total / n_atoms) > SAME_ENERGY:
        raise RowError(
            f"{mapping.energy} {total:g} of {n_atoms} atoms and {mapping.energy_per_atom} {energy:g} contradict each "
            "other: remove one, or set it to null in the mapping"
        )
    return total / n_atoms if energy is None else energy


def _left_aside(columns: Mapping[str, Any], mapping: ColumnMapping, record: CrysRecord) -> list[str]:
    """Notes on columns that may hold what a record lacks under another name than the mapping's."""
    lacks = {"energy": record.energy_per_atom, "force": record.forces, "stress": record.stress}
    lacks["virial"] = record.stress
    named = [value for value in mapping.model_dump().values() if value]
    used = {name for value in named for name in ((value,) if isinstance(value, str) else value)}
    notes = []
    for name in sorted(column_names(columns) - used):
        match = _LABELLED.fullmatch(name)
        if match is not None and lacks[match[1].lower()] is None:
            notes.append(f"{name} is not read: if it is this structure's, name it in the mapping")
    return notes
