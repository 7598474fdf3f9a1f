"""Energies that cannot be right: found before they make a hull, named with the reason, and never published.

One wrong energy is enough to push the true compound off the table, as its distance to the false hull is too large.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dao_core.artifacts import write_atomic
from dao_core.crysdb.steps.compositions import Compositions
from dao_core.elements import SYMBOLS
from dao_core.hull.hull import HullEntry
from dao_core.hull.label import EnergyLabel
from dao_core.hull.plausible import ALLOYS, ELEMENT, lowest_formation_energy

SPREAD = 10.0  # eV/atom: structures of one composition are no further apart; free atoms lie up to 9 above their solid
TOO_STABLE = 2.0  # eV per atom of an element: what its reference may cost every one of its compounds
UNSTABLE = 1.0  # eV/atom of a compound: dilute compounds and those that want to fall apart lie below, by physics
MIN_COMPOUNDS = 2  # fewer say nothing about a reference

if TYPE_CHECKING:
    import pyarrow as pa

QUARANTINE = "quarantine.json"  # beside the table, and in the stage that makes the hulls
Reasons = dict[int, str]  # row -> why its energy is not believed


@dataclass(frozen=True)
class Quarantined:
    """A row whose energy is not believed: what it claims (NaN where a formation energy alone is wrong), and why."""

    entry: HullEntry
    label: EnergyLabel
    reason: str

    @property
    def key(self) -> tuple[str, str]:
        """Source and id: two sources may use one id."""
        return self.label.source or "", self.entry.id


Quarantine = dict[tuple[str, str], Quarantined]  # by key


def write_quarantine(path: Path, items: Iterable[Quarantined]) -> None:
    """Write what was quarantined, whole or not at all."""
    rows = [
        {
            "material_id": q.entry.id,
            "counts": {str(z): n for z, n in q.entry.counts.items()},
            "energy_per_atom": q.entry.energy_per_atom if np.isfinite(q.entry.energy_per_atom) else None,
            "label": asdict(q.label),
            "reason": q.reason,
        }
        for q in items
    ]
    write_atomic(path, json.dumps(rows, indent=1))


def read_quarantine(path: Path) -> Quarantine:
    """What a build quarantined; nothing where it left no such file, as the version before did."""
    if not path.is_file():
        return {}
    out = {}
    for row in json.loads(path.read_text()):
        counts = {int(z): int(n) for z, n in row["counts"].items()}
        energy = float("nan") if row["energy_per_atom"] is None else float(row["energy_per_atom"])
        entry = HullEntry(counts, energy, row["material_id"])
        item = Quarantined(entry, EnergyLabel(**row["label"]), row["reason"])
        out[item.key] = item
    return out


def in_quarantine(table: pa.Table, quarantine: Quarantine) -> NDArray[np.bool_]:
    """Which rows of a table (columns source, material_id) are quarantined, (rows,)."""
    out = np.zeros(table.num_rows, dtype=bool)
    ids = {name for _, name in quarantine}
    for i, name in enumerate(table["material_id"].to_pylist() if ids else ()):
        out[i] = name in ids and (table["source"][i].as_py(), name) in quarantine
    return out


def far_from_its_formula(energy: NDArray[np.float64], compositions: Compositions) -> Reasons:
    """Rows whose energy is impossibly far from that of the other structures of their composition.

    Args:
        energy: (rows,) eV/atom of one label, NaN where unknown.
        compositions: Of the same rows.
    """
    known = np.isfinite(energy)
    low, high = np.full(len(compositions), np.inf), np.full(len(compositions), -np.inf)
    np.minimum.at(low, compositions.code[known], energy[known])
    np.maximum.at(high, compositions.code[known], energy[known])
    reasons: Reasons = {}
    middle = float(np.median(energy[known])) if known.any() else 0.0
    for i in np.flatnonzero(high - low > SPREAD):
        rows = compositions.rows_of(int(i))
        rows = rows[known[rows]]
        # of two nobody knows which is wrong: the one that is less like the rest of the source
        typical = middle if len(rows) == 2 else float(np.median(energy[rows]))
        nearest = float(energy[rows[np.argmin(np.abs(energy[rows] - typical))]])
        for row in rows[np.abs(energy[rows] - nearest) > SPREAD]:
            reasons[int(row)] = (
                f"its energy of {energy[row]:.2f} eV/atom is {abs(energy[row] - nearest):.1f} eV/atom away from that "
                "of the other structures of its formula"
            )
    return reasons


def too_low(formation: NDArray[np.float64], compositions: Compositions) -> Reasons:
    """Rows whose formation energy is lower than their chemistry allows.

    Args:
        formation: (rows,) eV/atom, NaN where unknown.
        compositions: Of the same rows.
    """
    bounds: dict[int, float] = {}
    reasons: Reasons = {}
    for row in np.flatnonzero(np.nan_to_num(formation) < -min(ALLOYS, ELEMENT)):
        code = int(compositions.code[row])
        bound = bounds.setdefault(code, lowest_formation_energy(compositions.counts[code]))
        if formation[row] < bound:
            elements = " and ".join(SYMBOLS[z] for z in compositions.counts[code])
            reasons[int(row)] = (
                f"its formation energy of {formation[row]:.2f} eV/atom is below {bound:.2f}, the least that "
                f"{elements} can have"
            )
    return reasons


def wrong_references(
    references: dict[int, int], energy: NDArray[np.float64], compositions: Compositions
) -> dict[int, str]:
    """Elemental references that leave none of their compounds a formation energy that a compound could have.

    Args:
        references: Atomic number -> row of its reference.
        energy: (rows,) total energies in eV/atom, NaN where unknown.
        compositions: Of the same rows.

    Returns:
        Atomic number -> why its reference is not believed; where one explains others, only that one.
    """
    # of each compound its excess in eV per atom of the element, and in eV/atom
    cheapest: dict[int, list[tuple[float, float]]] = {z: [] for z in references}
    for counts, row in zip(compositions.counts, compositions.lowest(energy), strict=True):
        if row < 0 or len(counts) < 2 or not counts.keys() <= references.keys():
            continue
        total = sum(counts.values())
        formation = energy[row] - sum(n * energy[references[z]] for z, n in counts.items()) / total
        for z, n in counts.items():
            cheapest[z].append((formation * total / n, formation))
    wrong = {
        z: min(excess for excess, _ in v)
        for z, v in cheapest.items()
        if len(v) >= MIN_COMPOUNDS and all(excess > TOO_STABLE and energy > UNSTABLE for excess, energy in v)
    }
    # a wrong reference lifts all its compounds, and so those of its partners: the culprit is in the most of them
    most = max((len(cheapest[z]) for z in wrong), default=0)
    return {
        z: f"its energy of {energy[references[z]]:.2f} eV/atom leaves all {most} compounds of {SYMBOLS[z]} unstable by "
        f"more than {excess:.1f} eV per atom of it"
        for z, excess in wrong.items()
        if len(cheapest[z]) == most
    }
