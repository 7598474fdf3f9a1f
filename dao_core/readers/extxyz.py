"""Extended xyz: every frame of a text, with energies, forces and stress as the frame gives them.

Our own reader because ASE's turns words into what they look like (an id `1e5` into a number, `T` into a truth value)
and ends at the first blank line. Keys and columns keep the file's names; by custom `energy` is total, in eV, `forces`
are in eV/angstrom, `stress` is in eV/angstrom^3 with tension positive and `virial` in eV.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.readers.base import HELD, Row, UnreadableError
from dao_core.readers.cif_cut import WORD_WITHOUT_END
from dao_core.readers.row_checks import check_length_units, check_pbc
from dao_core.readers.species import DEUTERIUM, plain_element
from dao_core.readers.tensors import numbers_of

_PAIR = re.compile(
    r"""\s*(?P<key>"(?:[^"\\]|\\.)*"|[^\s="{\[]+)
    (?:\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|\{[^{}]*\}|\[[^\n]*?\](?=\s|$)|[^\s"]+))?(?=\s|$)""",
    re.X,
)
_COUNT = re.compile(r"\d{1,7}")
JSON_MARK = "_JSON "
_TYPES = {"S": str, "R": float, "I": int, "L": str}


def read_extxyz(text: str, name: str) -> Iterator[Row[Crystal | str | None]]:
    """Frames of an extended-xyz text; blank lines between frames are passed over.

    Args:
        text: The content of a file.
        name: What the file is called in messages.

    Yields:
        A row for each frame. Its columns are the comment's keys, as text, and the per-atom arrays other than species
        and positions. A frame after which the file stops making sense is the last row, with the reason.
    """
    lines = text.split("\n")
    at, frame = 0, 0
    while True:
        while at < len(lines) and not lines[at].strip():
            at += 1
        if at >= len(lines):
            return
        where = f"{name} frame {frame}"
        count = lines[at].strip()
        if not _COUNT.fullmatch(count) or int(count) == 0:
            yield Row(where, f"line {at + 1} should hold a number of atoms, it holds {count[:40]!r}")
            return
        body = lines[at + 1 : at + 2 + int(count)]
        if len(body) < int(count) + 1 or not body[-1].strip():
            n_whole = sum(bool(line.strip()) for line in body[1:])
            yield Row(where, f"the frame of {count} atoms ends after {n_whole} lines: the file is cut")
            return
        if at + 2 + int(count) == len(lines) and not body[-1][-1].isspace():
            yield Row(where, WORD_WITHOUT_END)
            return
        misfit = _misfit(lines, at + 2 + int(count))
        if misfit is not None:
            yield Row(where, f"the frame of {count} atoms is followed by {misfit}: its number of atoms may be wrong")
            return
        try:
            yield _frame(body, where)
        except (UnreadableError, InvalidCrystalError) as error:
            yield Row(where, str(error))
        at += 2 + int(count)
        frame += 1


def _misfit(lines: list[str], at: int) -> str | None:
    """What stands after a frame, where it is neither the end nor the number of atoms of another frame."""
    rest = next((i for i in range(at, len(lines)) if lines[i].strip()), None)
    if rest is None or _COUNT.fullmatch(lines[rest].strip()):
        return None
    return f"{lines[rest].strip()[:40]!r} in line {rest + 1}"


def _frame(body: list[str], where: str) -> Row[Crystal | str | None]:
    keys = parse_comment(body[0])
    check_length_units(keys)
    lattice = _lattice(keys)
    check_pbc(keys)
    keys = {name: value for name, value in keys.items() if name.lower() != "pbc"}
    columns = _columns(str(keys.pop("Properties", "species:S:1:pos:R:3")), body[1:])
    species = columns.pop("species", None)
    positions = columns.pop("pos", columns.pop("positions", None))
    if species is None or positions is None or np.shape(positions) != (len(body) - 1, 3):
        raise UnreadableError("the frame has no species and positions in its Properties: name them species and pos")
    words = [str(w) for w in np.ravel(species)]
    numbers = [_element(word) for word in words]
    _check_numbers(columns, numbers)
    crystal = Crystal(lattice, np.asarray(positions) @ np.linalg.inv(lattice), np.array(numbers))
    values: dict[str, Any] = {**keys, **columns}
    notes = (DEUTERIUM,) if "D" in words else ()
    if "F" in np.ravel(columns.get("move_mask", ())).tolist():  # as ASE writes FixAtoms and FixCartesian
        notes = (*notes, HELD)
    return Row(where, crystal, values, notes)


def _check_numbers(columns: dict[str, Any], numbers: list[int]) -> None:
    for name in ("Z", "numbers", "atomic_numbers"):
        if name in columns and np.ravel(columns[name]).tolist() != numbers:
            raise UnreadableError(f"{name} and species are other elements: remove the wrong column")


def _element(word: str) -> int:
    if re.fullmatch(r"\d+", word):
        raise UnreadableError(f"species {word!r}: give the symbol of the element, not its number")
    return plain_element(word)


def parse_comment(line: str) -> dict[str, Any]:
    """Keys and values of a comment line; values stay text, a key alone is True.

    Quotes protect blanks and equal signs, a backslash protects quotes; nothing is turned into a number here, but ASE's
    `_JSON` values are what they stand for.
    """
    out: dict[str, Any] = {}
    at = 0
    while at < len(line) and line[at:].strip():
        match = _PAIR.match(line, at)
        if match is None:
            raise UnreadableError(
                f"the comment line can't be read from {line[at : at + 40].strip()!r} on: check its quotes"
            )
        key = _unquoted(match["key"])
        if key in out:
            raise UnreadableError(f"the comment line gives {key!r} twice: keep one")
        out[key] = True if match["value"] is None else _from_json(_unquoted(match["value"]))
        at = match.end()
    return out


def _from_json(text: str) -> Any:
    """The value of a text that ASE's writer marks as JSON, since it would be taken for something else plainly."""
    if not text.startswith(JSON_MARK):
        return text
    try:
        return json.loads(text.removeprefix(JSON_MARK))
    except ValueError:
        return text


def _unquoted(text: str) -> str:
    if text[0] == text[-1] == '"' and len(text) > 1:
        return re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), text[1:-1])
    if text[0] == text[-1] == "'" and len(text) > 1:
        return text[1:-1]
    return text


def _lattice(keys: dict[str, Any]) -> NDArray[np.float64]:
    name = next((k for k in keys if k.lower() == "lattice"), None)
    if name is None:
        raise UnreadableError("the frame has no Lattice: only crystals are read")
    numbers = numbers_of("Lattice", keys.pop(name))
    if len(numbers) != 9:
        raise UnreadableError(f"Lattice has {len(numbers)} numbers, expected 9")
    lattice = numbers.reshape(3, 3)
    if not np.isfinite(lattice).all() or abs(np.linalg.det(lattice)) < 1e-6:
        raise UnreadableError("the Lattice spans no volume: only crystals are read")
    return lattice


def _columns(properties: str, lines: list[str]) -> dict[str, Any]:
    """Per-atom arrays by name: text (N, k), numbers (N, k), k = 1 without the last axis."""
    parts = properties.split(":")
    kinds, widths = parts[1::3], parts[2::3]
    if len(parts) % 3 or not (set(kinds) <= _TYPES.keys() and all(w.isdigit() and int(w) for w in widths)):
        raise UnreadableError(f"Properties={properties!r} is no list of name:type:columns: correct it")
    specs = [(parts[i], parts[i + 1], int(parts[i + 2])) for i in range(0, len(parts), 3)]
    total = sum(width for _, _, width in specs)
    rows = [line.split() for line in lines]
    for number, row in enumerate(rows, start=1):
        if len(row) != total:
            raise UnreadableError(
                f"atom {number} has {len(row)} columns, Properties name {total}: the frame may be damaged"
            )
    out: dict[str, Any] = {}
    at = 0
    for name, kind, width in specs:
        words = [row[at : at + width] for row in rows]
        at += width
        if name in out:
            raise UnreadableError(f"Properties name {name!r} twice: keep one")
        try:
            values = [[_TYPES[kind](w) for w in row] for row in words]
        except ValueError as error:
            raise UnreadableError(f"column {name}: {error}") from None
        plain: Any = [row[0] for row in values] if width == 1 else values
        out[name] = np.array(plain, dtype=np.float64) if kind in "RI" else plain
    return out
