"""Densities of states and charges from projwfc.x's files and output."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal

FILE = re.compile(r"pdos_atm#(\d+)\((\w+)\)_wfc#\d+\((\w)")
LOWDIN = re.compile(r"Atom\s+#\s*(\d+):\s*total charge\s*=\s*([\d.]+)")
POLARISATION = re.compile(r"Atom\s+#\s*(\d+):[^\n]*?polarization\s*=\s*(-?[\d.]+)")


class StatesError(ValueError):
    """A file of projwfc.x that is missing or cut off; the message names it."""


@dataclass(frozen=True, eq=False)
class DensityOfStates:
    """States per eV and cell.

    Attributes:
        energies: (E,) eV.
        total: (S, E), S is 2 with spin.
        projected: Element and orbital, such as "O p", -> (S, E).
    """

    energies: NDArray[np.float64]
    total: NDArray[np.float64]
    projected: dict[str, NDArray[np.float64]]

    def at(self, energy: float) -> float:
        """Total density at an energy, both spins."""
        return float(np.interp(energy, self.energies, self.total.sum(axis=0)))


@dataclass(frozen=True)
class AtomCharge:
    """Löwdin's population of one atom: valence electrons less this are its effective charge; its spin polarisation."""

    symbol: str
    electrons: float
    charge: float
    polarisation: float | None = None


def read_density_of_states(folder: Path, prefix: str) -> DensityOfStates:
    """Total and projected densities that projwfc.x left in a folder.

    Args:
        folder: Of the run.
        prefix: Of its files.

    Returns:
        The densities, energies in eV.

    Raises:
        StatesError: A file is missing or unreadable.
    """
    total_file = folder / f"{prefix}.pdos_tot"
    rows = _table(total_file)
    spins = 2 if rows.shape[1] >= 5 else 1
    projected: dict[str, NDArray[np.float64]] = {}
    for path in sorted(folder.glob(f"{prefix}.pdos_atm*")):
        match = FILE.search(path.name)
        if match is None:
            continue
        name = f"{re.sub(r'[0-9]+$', '', match.group(2))} {match.group(3)}"
        values = _table(path)[:, 1 : 1 + spins].T  # (S, E): the sum over m comes first
        projected[name] = projected[name] + values if name in projected else values
    return DensityOfStates(rows[:, 0], rows[:, 1 : 1 + spins].T, projected)


def _table(path: Path) -> NDArray[np.float64]:
    try:
        lines = path.read_text().splitlines()[1:]
        rows = [[_number(x) for x in line.split()] for line in lines if line.strip()]
        values = np.array(rows, dtype=np.float64)
    except (OSError, ValueError) as error:
        raise StatesError(f"{path} is unreadable ({error}); run projwfc.x again") from error
    if values.ndim != 2 or values.shape[1] < 3:
        raise StatesError(f"{path} holds no table; run projwfc.x again")
    return values


def _number(text: str) -> float:
    """A Fortran number; an exponent of three digits loses its E ("0.1-100")."""
    try:
        return float(text)
    except ValueError:
        return float(re.sub(r"(?<=\d)([+-]\d{3})$", r"E\1", text))


def lowdin_charges(text: str, crystal: Crystal, z_valence: dict[str, float]) -> list[AtomCharge]:
    """Löwdin populations from the output of projwfc.x. Raises StatesError where an atom has none.

    Args:
        text: Standard output of projwfc.x.
        crystal: Atoms in the same order.
        z_valence: Valence electrons of each element's pseudopotential.
    """
    totals = {int(i): float(q) for i, q in LOWDIN.findall(text)}
    spins = {int(i): float(p) for i, p in POLARISATION.findall(text)}
    if set(totals) != set(range(1, crystal.n_atoms + 1)):
        raise StatesError(f"projwfc.x printed charges of {len(totals)} of {crystal.n_atoms} atoms; run it again")
    return [
        AtomCharge(symbol, totals[i], round(z_valence[symbol] - totals[i], 4), spins.get(i))
        for i, symbol in enumerate(crystal.symbols, start=1)
    ]
