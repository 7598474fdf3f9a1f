"""POSCAR and CONTCAR, with or without the line of elements (VASP 5 and 4), selective dynamics, either coordinates."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.readers.base import HELD, UnreadableError
from dao_core.readers.cif_cut import NO_END
from dao_core.readers.species import DEUTERIUM, element_number, plain_element
from dao_core.readers.vasp_frames import NUMBER, count_words

LEFT_ASIDE = "what follows the positions is left aside"
_KNOWN_REST = ("d", "c", "k", "l", "#", "!")  # velocities, in which coordinates; lattice velocities; comments


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
    selective = at < len(lines) and lines[at].strip()[:1] in ("s", "S")
    at += int(selective)
    mode = lines[at].strip()[:1].lower() if at < len(lines) else ""
    if mode not in ("d", "c", "k"):
        there = lines[at].strip()[:40] if at < len(lines) else ""
        raise UnreadableError(
            f"line {at + 1} of the POSCAR is {there!r}: write Direct or Cartesian there, for the positions below it"
        )
    n = sum(counts)
    rows = [_position(lines, at + 1 + i) for i in range(n)]
    notes = (*notes, *_check_rest(lines, at + 1 + n))
    positions = np.array([row[:3] for row in rows], dtype=np.float64)
    if any("F" in line.split()[3:6] or ".F." in line.upper() for line in lines[at + 1 : at + 1 + n] if selective):
        notes = (*notes, HELD)
    numbers = [z for z, count in zip(names, counts, strict=True) for _ in range(count)]
    _check_labels(lines[at + 1 : at + 1 + n], numbers)
    scale = _scales(lines[1], lattice)
    frac = positions if mode == "d" else (positions * scale) @ np.linalg.inv(lattice * scale)
    return Crystal(lattice * scale, frac, np.array(numbers)), notes


def _floats(line: str, count: int) -> list[float] | None:
    words = line.split()[:count]
    if len(words) < count or not all(NUMBER.fullmatch(w) for w in words):
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
    n = next((i for i, w in enumerate(words) if not NUMBER.fullmatch(w)), len(words))
    values = _floats(line, n)
    if values is None or n not in (1, 3) or 0 in values or (n == 3 and min(values) < 0):
        raise UnreadableError(
            f"line 2 of the POSCAR is {line.strip()[:40]!r}: write one scaling factor (1.0 for vectors in angstrom), "
            "minus the volume, or three positive factors"
        )
    if len(values) == 1 and values[0] < 0:
        return np.full(3, (-values[0] / abs(np.linalg.det(lattice))) ** (1 / 3))
    return np.array(values if len(values) == 3 else values * 3)


def _species(lines: list[str]) -> tuple[list[int], list[int], int, tuple[str, ...]]:
    """Elements, their counts, the index of the next line and notes."""
    words = count_words(lines[5])
    if words and all(NUMBER.fullmatch(w) for w in words):  # VASP 4: the elements stand in the first line, if anywhere
        counts = _counts(words, 6)
        names = lines[0].split()
        if len(names) != len(counts) or any(element_number(w) is None for w in names):
            raise UnreadableError(
                "the POSCAR does not say which elements it holds (VASP 4): write their symbols above their numbers"
            )
        return [plain_element(w) for w in names], counts, 6, ("elements taken from the first line", *_deuterium(names))
    symbols = [_symbol(w) for w in words]
    counts = _counts(count_words(lines[6]), 7)
    if len(counts) != len(symbols):
        raise UnreadableError(
            f"line 6 of the POSCAR names {len(symbols)} elements, line 7 gives {len(counts)} numbers of atoms: "
            "write one for each"
        )
    return [plain_element(w) for w in symbols], counts, 7, _deuterium(symbols)


def _symbol(word: str) -> str:
    """The element of Ti, Ti_pv or Ti/0a1b2c; Ba/Sr are two, and refused."""
    first, *rest = re.split(r"[_/]", word)
    if any(element_number(part) is not None for part in rest):
        raise UnreadableError(f"{word!r} names two elements: make an ordered approximation first")
    return first


def _deuterium(words: list[str]) -> tuple[str, ...]:
    return (DEUTERIUM,) if "D" in words else ()


def _counts(words: list[str], line: int) -> list[int]:
    if not words or not all(re.fullmatch(r"\d{1,6}", w) and int(w) > 0 for w in words):
        raise UnreadableError(
            f"line {line} of the POSCAR is {' '.join(words)[:40]!r}: write the number of atoms of each element, "
            "whole numbers above 0"
        )
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


def _check_rest(lines: list[str], index: int) -> tuple[str, ...]:
    rest = lines[index].strip() if index < len(lines) else ""
    if rest and _floats(rest, 3) is not None:
        raise UnreadableError(f"line {index + 1} holds another position: the POSCAR has more than its counts say")
    return (LEFT_ASIDE,) if rest and not rest.lower().startswith(_KNOWN_REST) else ()


def _check_labels(lines: list[str], numbers: list[int]) -> None:
    """Symbols that some programs write behind a position must be those of the counts."""
    for line, z in zip(lines, numbers, strict=True):
        words = [w for w in line.split()[3:] if element_number(w) is not None and w not in ("F",)]
        if words and element_number(words[-1]) != z:
            raise UnreadableError(f"a position labelled {words[-1]} stands where the counts put another element")
