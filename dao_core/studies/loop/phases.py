"""The database of a run of the loop: validated phases in a CrysDB, and the hull that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.table import CrysTable, write_records
from dao_core.crystal import Crystal
from dao_core.hull.hull import Hull, HullEntry, count_atoms
from dao_core.hull.label import EnergyLabel

SOURCE = "loop"


class PhaseTable:
    """A CrysDB of validated phases with total and formation energies of one label.

    Formation energies are counted from the elements that are in it at the beginning, which stay what they are.
    """

    def __init__(self, path: Path, label: EnergyLabel, known: Sequence[tuple[str, Crystal, float]]) -> None:
        """Make the table from what is known.

        Args:
            path: Folder of the table.
            label: What the energies mean.
            known: Id, structure and total energy (eV/atom); every element is among them.
        """
        self.label, self.known = label, known
        self.table: CrysTable = write_records(path, [self._record(*phase) for phase in known])

    def _record(self, name: str, crystal: Crystal, energy: float) -> CrysRecord:
        return CrysRecord.from_crystal(
            crystal, material_id=name, source=SOURCE, functional=self.label.made_by, energy_per_atom=energy,
            relaxation="converged",
        )  # fmt: skip

    def add(self, phases: Sequence[tuple[str, Crystal, float]]) -> None:
        """Put validated phases into the table: a new version of it.

        Args:
            phases: Id, structure and total energy (eV/atom).
        """
        if phases:
            with self.table.writer():
                self.table.upsert(records_to_table([self._record(*phase) for phase in phases]))

    def hull(self) -> Hull:
        """The hull of everything in the table, its formation energies counted from the known elements."""
        elements = [HullEntry(count_atoms(c.atomic_numbers), e, n) for n, c, e in self.known if len(c.composition) == 1]
        entries = [
            HullEntry(count_atoms(r.atomic_numbers), r.energy_per_atom, r.material_id)
            for r in self.table.records()
            if r.energy_per_atom is not None
        ]
        return Hull.from_entries(entries, self.label, references=elements)

    def records(self) -> list[CrysRecord]:
        """All rows with formation energies in eV/atom, as DAO-P learns them."""
        hull = self.hull()
        return [
            replace(
                r, formation_energy_per_atom=hull.formation_energy_per_atom(
                    count_atoms(r.atomic_numbers), float(r.energy_per_atom or 0.0), label=self.label
                ),
            )
            for r in self.table.records()
        ]  # fmt: skip
