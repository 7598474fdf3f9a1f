"""Texts in VASP's format that hold several structures: XDATCAR, of a fixed or a changing cell, and POSCARs joined."""

from __future__ import annotations

import re

from dao_core.readers.species import element_number

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?")
_FRAME = re.compile(r"\s*(?:(?:direct|cartesian)\s+configuration|konfig)\s*=", re.I)
_COMMENT = re.compile(r"[!#]")


def poscar_texts(text: str) -> list[str]:
    """The text of each structure, as a POSCAR of its own.

    Args:
        text: The content of a file in VASP's format.

    Returns:
        One text for each structure, in order. What cannot be divided is one; what follows the last frame without being
        another stays with it.
    """
    lines = text.split("\n")
    starts = [0, *(k for k in range(8, len(lines) - 6) if _is_head(lines, k))]
    parts = [lines[a:b] for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
    return ["\n".join(frame) for i, part in enumerate(parts) for frame in _frames(part, last=i == len(parts) - 1)]


def count_words(line: str) -> list[str]:
    """The words of a line of numbers of atoms, a comment left aside."""
    return _COMMENT.split(line)[0].split()


def _is_head(lines: list[str], k: int) -> bool:
    """Whether the header of a POSCAR begins at line `k`: title, scale, vectors, elements and their numbers."""
    if _numbers(lines[k], 3) or not _numbers(lines[k + 1], 1) or not all(_numbers(x, 3) for x in lines[k + 2 : k + 5]):
        return False
    above, below = count_words(lines[k + 5]), count_words(lines[k + 6])
    if _are_counts(above):
        return lines[k + 6].strip()[:1].lower() in ("d", "c", "k", "s")
    return names_elements(lines[k + 5], lines[k + 6]) and len(above) == len(below)


def names_elements(above: str, below: str) -> bool:
    """Whether two lines are the elements of a POSCAR and their numbers."""
    symbols = [re.split(r"[_/]", word)[0] for word in count_words(above)]
    return bool(symbols) and all(element_number(s) for s in symbols) and _are_counts(count_words(below))


def _are_counts(words: list[str]) -> bool:
    return bool(words) and all(re.fullmatch(r"\d{1,6}", w) and int(w) > 0 for w in words)


def _numbers(line: str, n: int) -> bool:
    words = line.split()[:n]
    return len(words) == n and all(NUMBER.fullmatch(w) for w in words)


def _frames(lines: list[str], *, last: bool) -> list[list[str]]:
    """The configurations below one header, each with that header."""
    marks = [i for i, line in enumerate(lines) if _FRAME.match(line)]
    if not marks or marks[0] not in (6, 7):
        return [lines if last else [*lines, ""]]
    head, ends = lines[: marks[0]], [*marks[1:], len(lines)]
    frames = []
    for i, (a, b) in enumerate(zip(marks, ends, strict=True)):
        mode = "Cartesian" if lines[a].strip().lower().startswith("cartesian") else "Direct"
        whole = last and i == len(marks) - 1
        frames.append([*head, mode, *lines[a + 1 : b], *([] if whole else [""])])
    return frames
