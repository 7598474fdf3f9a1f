"""POSCAR and CONTCAR, with or without the line of elements (VASP 5 and 4), selective dynamics, either coordinates."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.readers.base import UnreadableError
from dao_core.readers.cif_cut import NO_END
from dao_core.readers.species import DEUTERIUM, element_number, plain_element

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?")


def read_poscar(text: str) -> tuple[Crystal, tuple[str, ...]]:
    """The structure of a POSCAR text and what was understood rather than read.

    Args:
        text: The content of a file. What follows the positions (velocities) is left aside.

    Raises:
        UnreadableError: The text is cut or contradicts itself, or doesn't say which elements it holds.
    """
    lines = text.split("\n")
    if len(lines) < 8:
        raise UnreadableError("unreadable POSCAR: fewer than eight lines; the file may be cut")
    lattice = _lattice(lines)
    names, counts, at, notes = _species(lines)
    if at < len(lines) and lines[at].strip()[:1] in "sS" and lines[at].strip():
        at += 1  # selective dynamics
    mode = lines[at].strip()[:1].lower() if at < len(lines) else ""
    if mode not in ("d", "c", "k"):
        raise UnreadableError(f"line {at + 1} of a POSCAR says Direct or Cartesian, here it says {lines[at : at + 1]}")
    n = sum(counts)
    rows = [_position(lines, at + 1 + i) for i in range(n)]
    _check_rest(lines, at + 1 + n)
    positions = np.array([row[:3] for row in rows], dtype=np.float64)
    numbers = [z for z, count in zip(names, counts, strict=True) for _ in range(count)]
    _check_labels(lines[at + 1 : at + 1 + n], numbers)
    scale = _scales(lines[1], lattice)
    frac = positions if mode == "d" else (positions * scale) @ np.linalg.inv(lattice * scale)
    return Crystal(lattice * scale, frac, np.array(numbers)), notes


def _floats(line: str, count: int) -> list[float] | None:
    words = line.split()[:count]
    if len(words) < count or not all(_NUMBER.fullmatch(w) for w in words):
        return None
    return [float(w.replace("d", "e").replace("D", "e")) for w in words]


def _lattice(lines: list[str]) -> NDArray[np.float64]:
    rows = [_floats(line, 3) for line in lines[2:5]]
    if any(row is None for row in rows):
        raise UnreadableError("lines 3 to 5 of a POSCAR hold the lattice vectors, three numbers each")
    lattice = np.array(rows, dtype=np.float64)
    if abs(np.linalg.det(lattice)) < 1e-9:
        raise UnreadableError("the lattice vectors of the POSCAR span no volume")
    return lattice


def _scales(line: str, lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factors of x, y and z: one number for all, three of them, or minus the volume in angstrom^3."""
    words = re.split(r"[!#]", line)[0].split()
    values = _floats(line, 3) if len(words) >= 3 else _floats(line, 1)
    if values is None or any(v == 0 for v in values) or (len(values) == 3 and min(values) < 0):
        raise UnreadableError(f"line 2 of a POSCAR is a scaling factor, here it is {line.strip()!r}")
    if len(values) == 1 and values[0] < 0:
        return np.full(3, (-values[0] / abs(np.linalg.det(lattice))) ** (1 / 3))
    return np.array(values if len(values) == 3 else values * 3)


def _species(lines: list[str]) -> tuple[list[int], list[int], int, tuple[str, ...]]:
    """Elements, their counts, the index of the next line and notes."""
    counts = _counts(lines[5])
    if counts is not None:  # VASP 4: the elements stand in the first line, if anywhere
        words = lines[0].split()
        if len(words) != len(counts) or any(element_number(w) is None for w in words):
            raise UnreadableError(
                "the POSCAR does not say which elements it holds (VASP 4): write their symbols above their numbers"
            )
        return [plain_element(w) for w in words], counts, 6, ("elements taken from the first line", *_deuterium(words))
    words = [re.split(r"[_/]", w)[0] for w in re.split(r"[!#]", lines[5])[0].split()]  # Ti_pv, Ti/0a1b2c
    counts = _counts(lines[6])
    if counts is None or len(counts) != len(words):
        raise UnreadableError(f"{len(words)} elements in line 6 of the POSCAR, line 7 is {lines[6].strip()!r}")
    return [plain_element(w) for w in words], counts, 7, _deuterium(words)


def _deuterium(words: list[str]) -> tuple[str, ...]:
    return (DEUTERIUM,) if "D" in words else ()


def _counts(line: str) -> list[int] | None:
    words = re.split(r"[!#]", line)[0].split()
    if not words or not all(re.fullmatch(r"\d{1,6}", w) for w in words) or any(int(w) == 0 for w in words):
        return None
    return [int(w) for w in words]


def _position(lines: list[str], index: int) -> list[float]:
    if index >= len(lines) or not lines[index].strip():
        raise UnreadableError("the POSCAR has fewer positions than its counts say: the file may be cut")
    values = _floats(lines[index], 3)
    if values is None:
        raise UnreadableError(f"line {index + 1} of the POSCAR is no position: {lines[index].strip()[:40]!r}")
    if index == len(lines) - 1 and len(lines[index].split()) == 3:
        raise UnreadableError(NO_END)
    return values


def _check_rest(lines: list[str], index: int) -> None:
    if index < len(lines) and _floats(lines[index], 3) is not None:
        raise UnreadableError(f"line {index + 1} holds another position: the POSCAR has more than its counts say")


def _check_labels(lines: list[str], numbers: list[int]) -> None:
    """Symbols that some programs write behind a position must be those of the counts."""
    for line, z in zip(lines, numbers, strict=True):
        words = [w for w in line.split()[3:] if element_number(w) is not None and w not in ("F",)]
        if words and element_number(words[-1]) != z:
            raise UnreadableError(f"a position labelled {words[-1]} stands where the counts put another element")
