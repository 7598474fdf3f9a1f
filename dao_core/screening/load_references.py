"""What a search is compared with: CrysDB's structures in its chemical systems, and a hull of its own potential."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from dao_core.artifacts import Ledger, content_key
from dao_core.energy.potential import Potential, label_of
from dao_core.hull.hull import Hull, HullEntry, count_atoms
from dao_core.hull.label import EnergyLabel, ForeignEnergyError
from dao_core.screening.formulas import Formula, parse_formula
from dao_core.screening.novelty import NoveltyIndex
from dao_core.screening.relaxed_hull import relaxed_hull

if TYPE_CHECKING:
    from dao_core.crysdb.schema import CrysRecord

HullChoice = Literal["auto", "database", "relaxed", "none"]


@dataclass(frozen=True)
class References:
    """Known structures, the hull, the key of what both were made from, and what the user should know of them."""

    hull: Hull | None = None
    known: NoveltyIndex | None = None
    key: str = ""
    notes: tuple[str, ...] = ()
    version: str | None = None  # of the table
    seconds: float = 0.0  # that the hull took


class ReferenceSettings(BaseModel):
    """What the candidates are compared with besides each other."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crysdb: Path | None = Field(None, description="CrysDB table for the hull and for novelty")
    version: int | None = Field(None, ge=0, description="of the table; default: the newest")
    hull: HullChoice = Field("auto", description="the energies of the hull: auto, database, relaxed, none")

    def pinned(self) -> ReferenceSettings:
        """With the number of the newest version in place of none. Raises TableError where there is no table."""
        if self.crysdb is None or self.version is not None:
            return self
        from dao_core.crysdb.table import CrysTable

        return self.model_copy(update={"version": CrysTable(self.crysdb).version})


def load_references(
    formulas: Iterable[Formula | str],
    settings: ReferenceSettings,
    potential: Potential,
    ledger: Ledger | None = None,
) -> References:
    """References from a CrysDB table for some formulas.

    Args:
        formulas: Whose chemical systems count.
        settings: Which table, and whose energies the hull has: "database" takes the table's own; "relaxed" relaxes the
            competing phases with `potential`; "auto" takes the first where it is allowed, else the second; "none"
            compares structures only.
        potential: Made the candidates' energies.
        ledger: Where relaxed phases are kept in pieces.

    Returns:
        Hull and known structures, with notes on how they were made.

    Raises:
        ForeignEnergyError: "database", and another potential made the table's energies.
        TableError: The path holds no table.
    """
    if settings.crysdb is None:
        return References()
    from dao_core.crysdb.table import CrysTable

    crysdb = CrysTable(settings.crysdb)
    at = crysdb.version if settings.version is None else settings.version
    parsed = [parse_formula(f, typed=False) if isinstance(f, str) else f for f in formulas]
    systems = [set(f.unit) for f in parsed]
    records = [r for r in crysdb.records("all", version=at) if any(set(r.chemsys.split("-")) <= s for s in systems)]
    where = str(crysdb.path.resolve())
    if not records:
        nothing = ("CrysDB has nothing in these systems.",)
        return References(key=content_key(table=where, version=at), notes=nothing, version=str(at))
    key = content_key(rows=sorted(map(_content, records)), path=where, version=at, hull=settings.hull)
    made, notes, seconds = _hull(records, potential, settings.hull, ledger)
    return References(made, NoveltyIndex(records), key, notes, str(at), seconds)


def _content(record: CrysRecord) -> tuple[str, ...]:
    """What of a record the answer depends on: a table that was built anew may have the version and ids of the old."""
    arrays = (record.atomic_numbers, record.lattice, record.frac_coords)
    numbers = ",".join(str(x) for array in arrays for x in array.ravel().tolist())
    return record.material_id, record.functional, str(record.energy_per_atom), numbers


def _hull(
    records: Sequence[CrysRecord], potential: Potential, choice: HullChoice, ledger: Ledger | None
) -> tuple[Hull | None, tuple[str, ...], float]:
    if choice == "none":
        return None, (), 0.0
    notes: list[str] = []
    if choice != "relaxed":
        try:
            return hull_of_records(records, label_of(potential)), (), 0.0
        except ForeignEnergyError as error:
            if choice == "database":
                raise
            reason = str(error).split(":", maxsplit=1)[0]
            notes.append(f"CrysDB's own hull is not used ({reason}): its competing phases were relaxed anew.")
    elements = sorted({e for r in records for e in r.chemsys.split("-")})
    made = relaxed_hull(records, elements, potential, ledger=ledger)
    if made.left_out:
        notes.append(f"Not part of the hull, since their relaxation was rejected: {', '.join(sorted(made.left_out))}.")
    if made.missing:
        notes.append(
            f"CrysDB has no usable phase of {', '.join(made.missing)}: distances of their compounds are unknown."
        )
    return made.hull if len(made.hull) else None, tuple(notes), made.seconds


def hull_of_records(records: Iterable[CrysRecord], label: EnergyLabel) -> Hull:
    """The hull of records whose energies are of one label; those without an energy are left out.

    Args:
        records: Of CrysDB.
        label: What the energies must mean.

    Returns:
        The hull.

    Raises:
        ForeignEnergyError: The records' energies were made by others; the message names them.
    """
    items = [(r, r.energy_per_atom) for r in records if r.energy_per_atom is not None]
    foreign = sorted({r.functional for r, _ in items} - {label.made_by})
    if foreign:
        raise ForeignEnergyError(
            f"CrysDB's energies are of {', '.join(map(repr, foreign))}, the candidates' of {label.made_by!r}: relax "
            "the hull's phases with the same potential (hull: relaxed)"
        )
    entries = [HullEntry(count_atoms(r.atomic_numbers), energy, r.material_id) for r, energy in items]
    return Hull.from_entries(entries, label, references=entries)
