"""What is known of a system before the loop begins: nothing of the three elements together, all of fewer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.dft.element_references import element_reference
from dao_core.elements import atomic_number, reduced_formula
from dao_core.studies.study import StudyError

COLUMNS = ("material_id", "atomic_numbers", "lattice", "frac_coords")
STRUCTURES = "mp_structures.parquet"


def system_rows(path: Path, elements: set[int]) -> Iterator[dict[str, Any]]:
    """Rows of a file whose elements are among the given ones.

    Args:
        path: Parquet with material_id, atomic_numbers, lattice, frac_coords.
        elements: Atomic numbers.

    Raises:
        StudyError: The file is missing.
    """
    import pyarrow.parquet as pq

    if not path.exists():
        raise StudyError(
            f"{path} is not there: name what the models were trained on (trained_on, left_out_of_training)"
        )
    file = pq.ParquetFile(path)
    columns = [name for name in COLUMNS if name in file.schema_arrow.names]
    for batch in file.iter_batches(columns=columns):
        inside = [i for i, z in enumerate(batch["atomic_numbers"].to_pylist()) if set(z) <= elements]
        if inside:
            yield from batch.take(inside).to_pylist()


def audit_system(
    data: Path, system: Sequence[str], trained_on: Sequence[str], left_out: Sequence[str]
) -> dict[str, int]:
    """How many rows with all three elements each file holds from which the models have learned.

    Args:
        data: Folder of the development data.
        system: Three symbols.
        trained_on: Files below `data`.
        left_out: Files below `data` whose formulas were left out of the training.

    Returns:
        Rows of the system that were left out, by file.

    Raises:
        StudyError: The models have learned from a structure of the system.
    """
    elements = {atomic_number(symbol) for symbol in system}

    def formulas(name: str) -> list[str]:
        rows = system_rows(data / name, elements)
        return [reduced_formula(row["atomic_numbers"]) for row in rows if len(set(row["atomic_numbers"])) == 3]

    unseen = {formula for name in left_out for formula in formulas(name)}
    counts = {}
    for name in trained_on:
        found = formulas(name)
        learned = sorted(set(found) - unseen)
        if learned:
            raise StudyError(
                f"{name} holds {', '.join(learned[:3])} of {'-'.join(sorted(system))}, from which the models have "
                "learned: choose another system"
            )
        counts[name] = len(found)
    return counts


def known_phases(data: Path, system: Sequence[str], max_atoms: int) -> tuple[list[tuple[str, Crystal]], int]:
    """Structures of the elements and of all known compounds of two of them, by id, and how many are too large.

    Args:
        data: Folder of the development data.
        system: Three symbols.
        max_atoms: Largest cell.

    Raises:
        StudyError: An element has no structure.
    """
    elements = {atomic_number(symbol) for symbol in system}
    found: list[tuple[str, Crystal]] = []
    too_large = 0
    for symbol in sorted(system):
        built_in = element_reference(symbol)
        if built_in is not None:
            found.append((f"{symbol} at its experimental lattice constants", built_in.crystal))
    for row in system_rows(data / STRUCTURES, elements):
        numbers = row["atomic_numbers"]
        too_large += len(set(numbers)) < 3 and len(numbers) > max_atoms
        if len(set(numbers)) == 3 or len(numbers) > max_atoms:
            continue
        try:
            crystal = Crystal(
                np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3)), np.array(numbers)
            )
        except InvalidCrystalError:
            continue
        found.append((str(row["material_id"]), crystal.niggli()))
    missing = elements - {int(c.atomic_numbers[0]) for _, c in found if len(c.composition) == 1}
    if missing:
        raise StudyError(f"no structure of the elements {sorted(missing)} with {max_atoms} atoms: raise known_atoms")
    return found, too_large
