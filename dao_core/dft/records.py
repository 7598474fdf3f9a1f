"""Results of validations as rows of CrysDB: source `qe`, with its own functional string and so its own hull."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dao_core.dft.validate import ValidationResult

if TYPE_CHECKING:
    from dao_core.crysdb.schema import CrysRecord

SOURCE = "qe"


def to_record(result: ValidationResult) -> CrysRecord:
    """The row of a validated crystal (energy eV/atom, forces eV/angstrom, stress eV/angstrom^3).

    Raises ValueError for a result that is not validated: nothing half-known goes into the database.
    """
    from dao_core.crysdb.schema import CrysRecord

    if not result.ok or result.crystal is None or result.final is None or result.energy_per_atom is None:
        raise ValueError(f"{result.formula} is {result.status}, only validated results become rows")
    final = result.final
    return CrysRecord.from_crystal(
        result.crystal,
        material_id=f"qe-{result.key}",
        source=SOURCE,
        functional=result.functional,
        source_version=result.code_version,
        energy_per_atom=result.energy_per_atom,
        parent_id=result.material_id,
        forces=None if final.forces is None else np.array(final.forces),
        stress=None if final.stress is None else np.array(final.stress),
    )
