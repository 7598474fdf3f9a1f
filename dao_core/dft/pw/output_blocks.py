"""Blocks of pw.x's output: forces, stress, occupations, wall time, structures. Incomplete blocks are left out."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.units import BOHR, EV_PER_RY

FLOAT = r"[-+]?\d+\.?\d*(?:[EeDd][-+]?\d+)?"


_NO_NUMBER = re.compile(r"\*{3,}|\bnan\b|\binf(?:inity)?\b", re.IGNORECASE)


def number(text: str) -> float:
    """A Fortran number."""
    return float(text.replace("D", "E").replace("d", "e"))


def last(pattern: str, text: str) -> float | None:
    """The last number that a pattern's group finds."""
    values = re.findall(pattern, text)
    return number(values[-1]) if values else None


def unreadable_values(text: str) -> tuple[str, ...]:
    """Which of the last energy, forces and stress are no numbers: Fortran's stars, NaN or Infinity.

    The energy before the last would else pass for the last one.
    """
    energies = re.findall(r"^!\s+total energy\s+=(.*)$", text, re.M)
    forces_ = text.split("Forces acting on atoms")[-1].split("Total force")[0] if "Forces acting" in text else ""
    parts = re.split(r"total\s+stress\s+\(Ry/bohr\*\*3\)", text)
    stress_ = "\n".join(parts[-1].splitlines()[:4]) if len(parts) > 1 else ""
    blocks = {"energy": energies[-1] if energies else "", "forces": forces_, "stress": stress_}
    return tuple(name for name, block in blocks.items() if _NO_NUMBER.search(block))


def forces(text: str, n_atoms: int | None) -> NDArray[np.float64] | None:
    """The last total forces; the blocks of contributions that verbosity 'high' prints after them are not read.

    Args:
        text: Output of pw.x.
        n_atoms: How many there must be.

    Returns:
        (N, 3) in eV/angstrom, None where there are none.
    """
    for block in reversed(text.split("Forces acting on atoms")[1:]):
        rows = re.findall(rf"^\s+atom\s+\d+\s+type\s+\d+\s+force\s+=\s+({FLOAT})\s+({FLOAT})\s+({FLOAT})", block, re.M)
        rows = rows[: n_atoms or _count_until_blank(block)]
        if rows and (n_atoms is None or len(rows) == n_atoms):
            return np.array([[number(x) for x in row] for row in rows]) * EV_PER_RY / BOHR
    return None


def _count_until_blank(block: str) -> int:
    lines = block.splitlines()[2:]
    return next((i for i, s in enumerate(lines) if "atom" not in s), len(lines))


def stress(text: str) -> NDArray[np.float64] | None:
    """Last stress (3, 3) in eV/angstrom^3, tension positive."""
    for block in reversed(re.split(r"total\s+stress\s+\(Ry/bohr\*\*3\)", text)[1:]):
        rows = [s.split()[:3] for s in block.splitlines()[1:4]]
        try:
            matrix = np.array([[number(x) for x in row] for row in rows])
        except ValueError:
            continue
        if matrix.shape == (3, 3):
            return -matrix * EV_PER_RY / BOHR**3
    return None


def site_moments(text: str) -> tuple[float, ...] | None:
    """Moments (Bohr magnetons) of the last table that pw.x integrated in spheres; None where it printed none.

    The cell's total and absolute magnetization, which follow the table, are no rows of it.
    """
    blocks = text.split("Magnetic moment per site")
    row = rf"^\s*atom\b.*\bmagn(?:etization)?\s*[:=]\s*({FLOAT})"
    rows = re.findall(row, blocks[-1], re.MULTILINE) if len(blocks) > 1 else []
    return tuple(number(row) for row in rows) or None


def occupations(text: str) -> tuple[tuple[float, ...], ...]:
    """Occupations of the bands (0 to 1) at each k-point of the last self-consistent calculation, with spin those of
    the one spin first; empty where none are printed.
    """
    last = text.split("Self-consistent Calculation")[-1]
    found = (re.match(rf"\s*((?:{FLOAT}\s+)+)", block) for block in last.split("occupation numbers")[1:])
    return tuple(tuple(number(x) for x in values.group(1).split()) for values in found if values)


def wall(text: str) -> float | None:
    """Wall time (s) of a finished run."""
    match = re.search(r"PWSCF\s+:.*CPU\s+(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:([\d.]+)s)?\s+WALL", text)
    if not match:
        return None
    days, hours, minutes, seconds = (float(x or 0) for x in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def crystals(text: str, start: Crystal | None) -> tuple[Crystal, ...]:
    """The structures of a run in order.

    Args:
        text: Output of pw.x.
        start: The input structure, which names the atoms and the cell of a fixed-cell run.

    Returns:
        The structures, beginning with `start`.
    """
    if start is None:
        return ()
    out, lattice, alat = [start], start.lattice, last(rf"lattice parameter \(alat\)\s+=\s+({FLOAT})", text)
    for match in re.finditer(r"^(CELL_PARAMETERS|ATOMIC_POSITIONS)\s*[({]?\s*([^\n)}]*)[)}]?[^\n]*\n", text, re.M):
        lines = text[match.end() : match.end() + 200 * (start.n_atoms + 3)].splitlines()
        try:
            if match.group(1) == "CELL_PARAMETERS":
                lattice = _cell(lines, match.group(2), alat)
            else:
                out.append(_positions(lines, match.group(2), lattice, alat, start))
        except (ValueError, IndexError, InvalidCrystalError):
            continue
    return tuple(out)


def _scale(unit: str, alat: float | None) -> float:
    given = re.search(rf"alat\s*=\s*({FLOAT})", unit)
    if given:
        return number(given.group(1)) * BOHR
    return {"angstrom": 1.0, "bohr": BOHR}.get(unit.strip(), (alat or 1.0) * BOHR)


def _cell(lines: list[str], unit: str, alat: float | None) -> NDArray[np.float64]:
    cell = np.array([[number(x) for x in s.split()[:3]] for s in lines[:3]])
    if cell.shape != (3, 3):
        raise ValueError("incomplete cell")
    return cell * _scale(unit, alat)


def _positions(
    lines: list[str], unit: str, lattice: NDArray[np.float64], alat: float | None, start: Crystal
) -> Crystal:
    rows = [s.split() for s in lines[: start.n_atoms]]
    symbols = [re.sub(r"\d+$", "", row[0]) for row in rows]
    if symbols != start.symbols or any(len(row) < 4 for row in rows):
        raise ValueError("incomplete positions")
    coords = np.array([[number(x) for x in row[1:4]] for row in rows])
    if "crystal" not in unit:
        coords = coords * _scale(unit, alat) @ np.linalg.inv(lattice)
    return Crystal(lattice, coords, start.atomic_numbers)
