"""A hull in the candidates' own energies: CrysDB's competing phases relaxed with the same potential."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from dao_core.crystal import Crystal
from dao_core.screening.candidate import USABLE_STATUSES
from dao_core.screening.hull import HullCoverageError, HullEntry, ReferenceHull

if TYPE_CHECKING:
    from dao_core.energy.potential import Potential
    from dao_core.energy.relax import RelaxSettings

COMPETING_BELOW = 0.05  # eV/atom above its own hull: phases this close may change places under another potential


class PhaseRecord(Protocol):
    """What a relaxed hull needs of a CrysDB record."""

    material_id: str
    formula_reduced: str
    e_above_hull: float | None
    energy_per_atom: float | None

    @property
    def atomic_numbers(self) -> Any: ...

    @property
    def crystal(self) -> Crystal: ...


@dataclass(frozen=True)
class RelaxedHull:
    """The hull and, by material id, why a phase is not part of it."""

    hull: ReferenceHull
    left_out: dict[str, str] = field(default_factory=dict)


def competing_phases(
    records: Iterable[PhaseRecord], elements: Iterable[str], *, below: float = COMPETING_BELOW
) -> list[PhaseRecord]:
    """The records made of these elements only that lie near the hull, and every elemental one's lowest.

    Where a record has no distance to the hull, the lowest energy of its formula is kept (all of them when that is
    unknown too): a phase too many costs time, a phase too few makes candidates look stable.
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
    settings: RelaxSettings | None = None,
    *,
    below: float = COMPETING_BELOW,
) -> RelaxedHull:
    """Relax the competing phases of a chemical system with `potential` and build the hull of their energies.

    Phases whose relaxation is rejected are left out by name. Raises HullCoverageError where an element is left
    without a phase, since no distance would mean anything then.
    """
    from dao_core.energy.relax import relax

    phases = competing_phases(records, elements, below=below)
    entries: list[HullEntry] = []
    left_out: dict[str, str] = {}
    results = relax([r.crystal for r in phases], potential, settings)
    for record, result in zip(phases, results, strict=True):
        if result.energy_per_atom is None or str(result.status) not in USABLE_STATUSES:
            left_out[record.material_id] = result.reason or str(result.status)
            continue
        entries.append(HullEntry(record.material_id, result.crystal.composition, result.energy_per_atom))
    missing = set(elements) - {s for e in entries if len(e.composition) == 1 for s in e.composition}
    if missing:
        raise HullCoverageError(
            f"no usable elemental phase of {', '.join(sorted(missing))} in the database: "
            "add one, or screen without a hull"
        )
    return RelaxedHull(ReferenceHull(potential.identity, tuple(entries)), left_out)
