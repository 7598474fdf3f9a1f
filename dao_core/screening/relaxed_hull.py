"""A hull in the candidates' own energies: CrysDB's competing phases relaxed with the same potential."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dao_core.artifacts import Ledger, content_key
from dao_core.code_version import code_version
from dao_core.crystal import Crystal
from dao_core.elements import atomic_number
from dao_core.energy.potential import label_of
from dao_core.energy.relaxation.settings import RelaxSettings
from dao_core.hull.hull import Hull, HullEntry, count_atoms
from dao_core.screening.candidate import USABLE_STATUSES
from dao_core.units import NEAR_HULL

if TYPE_CHECKING:
    from dao_core.energy.potential import Potential

RELAXATION = RelaxSettings(max_steps=60)
CHUNK = 16  # phases a stage: what a kill loses at most
ENERGIES = "energies.json"


class PhaseRecord(Protocol):
    """What a relaxed hull needs of a CrysDB record."""

    @property
    def material_id(self) -> str:
        """Id of the row."""

    @property
    def formula_reduced(self) -> str:
        """Reduced formula."""

    @property
    def e_above_hull(self) -> float | None:
        """eV/atom, where it is known."""

    @property
    def energy_per_atom(self) -> float | None:
        """eV/atom, where it is known."""

    @property
    def atomic_numbers(self) -> Any:
        """One an atom."""

    @property
    def crystal(self) -> Crystal:
        """The structure."""


@dataclass(frozen=True)
class RelaxedHull:
    """The hull; by material id, why a phase is not part of it; and the elements that have no phase."""

    hull: Hull
    left_out: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    seconds: float = 0.0  # of the relaxations, in whichever run they were done


def competing_phases(
    records: Iterable[PhaseRecord], elements: Iterable[str], *, below: float = NEAR_HULL
) -> list[PhaseRecord]:
    """The records made of some elements only that lie near the hull, and every elemental one's lowest.

    Where a record has no distance to the hull, the lowest energy of its formula is kept (all of them when that is
    unknown too): a phase too many costs time, a phase too few makes candidates look stable.

    Args:
        records: Of CrysDB.
        elements: Symbols.
        below: Largest distance to the hull, eV/atom.

    Returns:
        The phases.
    """
    from dao_core.elements import SYMBOLS

    allowed = set(elements)
    inside = [r for r in records if {SYMBOLS[int(z)] for z in r.atomic_numbers} <= allowed]
    groups: dict[str, list[PhaseRecord]] = {}
    for r in inside:
        groups.setdefault(r.formula_reduced, []).append(r)
    chosen: list[PhaseRecord] = []
    for group in groups.values():
        near = [r for r in group if r.e_above_hull is not None and r.e_above_hull <= below]
        if near:
            chosen += near
        elif len({int(z) for z in group[0].atomic_numbers}) == 1 or any(r.e_above_hull is None for r in group):
            energies = [r.energy_per_atom for r in group if r.energy_per_atom is not None]
            lowest = min(energies) if len(energies) == len(group) else None
            chosen += [r for r in group if lowest is None or r.energy_per_atom == lowest]
    return chosen


def relaxed_hull(
    records: Iterable[PhaseRecord],
    elements: Sequence[str],
    potential: Potential,
    *,
    below: float = NEAR_HULL,
    ledger: Ledger | None = None,
) -> RelaxedHull:
    """Relax the competing phases of a chemical system and build the hull of their energies.

    Phases whose relaxation is rejected are left out by name (they would lower the hull wrongly), elements without a
    phase are in `missing`: no distance of their compounds means anything.

    Args:
        records: Of CrysDB.
        elements: Symbols of the system.
        potential: That of the candidates.
        below: Largest distance of a competing phase to the hull, eV/atom.
        ledger: Keeps the phases, relaxed in pieces, so that they are found again.

    Returns:
        The hull, with what was left out and what is missing.
    """
    phases = sorted(competing_phases(records, elements, below=below), key=lambda r: r.material_id)
    entries: list[HullEntry] = []
    left_out: dict[str, str] = {}
    spent = 0.0
    for begin in range(0, len(phases), CHUNK):
        piece = phases[begin : begin + CHUNK]
        energies, seconds = _energies(piece, potential, RELAXATION, ledger)
        spent += seconds
        for record, found in zip(piece, energies, strict=True):
            if isinstance(found, str):
                left_out[record.material_id] = found
            else:
                entries.append(HullEntry(count_atoms(record.atomic_numbers), found, record.material_id))
    hull = Hull.from_entries(entries, label_of(potential), references=entries)
    missing = [s for s in sorted(elements) if atomic_number(s) not in hull.references.energies]
    return RelaxedHull(hull, left_out, tuple(missing), spent)


def _energies(
    records: Sequence[PhaseRecord], potential: Potential, settings: RelaxSettings, ledger: Ledger | None
) -> tuple[list[float | str], float]:
    """Relaxed energy per atom of each phase, or why it has none; and the seconds that it took."""
    from dao_core.energy.relaxation.relax import relax

    crystals = [r.crystal for r in records]

    def compute() -> tuple[list[float | str], float]:
        begin = time.monotonic()
        results = relax(crystals, potential, settings)
        found: list[float | str] = [
            r.reason or str(r.status)
            if r.energy_per_atom is None or str(r.status) not in USABLE_STATUSES
            else r.energy_per_atom
            for r in results
        ]
        return found, time.monotonic() - begin

    if ledger is None:
        return compute()

    def work(directory: Path) -> dict[str, Any]:
        found, seconds = compute()
        (directory / ENERGIES).write_text(json.dumps(found))
        n_failed = sum(isinstance(e, str) for e in found)
        counts = {"n_asked": len(found), "n_ok": len(found) - n_failed, "n_failed": n_failed}
        return {"counts": counts, "facts": {"seconds": seconds}}

    structures = [
        [r.material_id, c.atomic_numbers.tolist(), c.lattice.tolist(), c.frac_coords.tolist()]
        for r, c in zip(records, crystals, strict=True)
    ]
    key = content_key(
        code=code_version(relax), structures=structures, potential=potential.identity, relax=settings.model_dump()
    )
    done = ledger.run("phases", key, work)
    energies: list[float | str] = json.loads(done.file(ENERGIES).read_text())
    return energies, float(done.facts["seconds"])
