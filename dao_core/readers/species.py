"""Which element a word in a file means, one rule for all formats.

Deuterium is read as hydrogen, with a note; a word that is no single element is refused, never shortened to one.
"""

from __future__ import annotations

import re

from dao_core.elements import SYMBOLS
from dao_core.readers.base import UnreadableError

DEUTERIUM = "D is read as H"
_NUMBER = {symbol: z for z, symbol in enumerate(SYMBOLS) if z > 0}
_CHARGE = r"(?:\d*[+-]\d*|[+-]\d+|\d+[+-]?|[+-]*)"
_TYPE = re.compile(rf"([A-Za-z]{{1,3}})(?:[({{]?{_CHARGE}[)}}]?)")
_WITH_HYDROGEN = re.compile(r"(?:h2o|hoh|o\d*w|wat|aq|oh)(?![a-z])|(?:nh|ch)\d", re.I)  # as labels begin
_LABEL = re.compile(r"([A-Za-z]+)([0-9]*[A-Za-z]?[0-9]*['\"*+\-_()#0-9]*)")


def element_number(symbol: str) -> int | None:
    """Atomic number of a symbol in its usual spelling, D as hydrogen; None where it is no element from H to Fm."""
    return 1 if symbol == "D" else _NUMBER.get(symbol)


def plain_element(word: str) -> int:
    """Atomic number of a bare symbol. Raises UnreadableError."""
    z = element_number(word)
    if z is None:
        raise UnreadableError(f"{word!r} is no element from H to Fm: correct the symbol")
    return z


def typed_element(word: str) -> tuple[int | None, bool]:
    """The element of a type symbol such as Ti, Ti4+, O2- or Cl-, and whether its spelling leaves no doubt.

    Capitals throughout (CO, SN) are read as one symbol, but might mean two.
    """
    match = _TYPE.fullmatch(word)
    if match is None:
        return None, False
    letters = match[1]
    z = element_number(letters)
    if z is not None:
        return z, True
    return element_number(letters.capitalize()), letters.islower()


def labelled_element(label: str) -> int | None:
    """The element of a site label such as Na1, O2A or Fe1_2; None for Wat1, H2O, OH, T1, M2, Ba/Sr and the like."""
    match = _LABEL.fullmatch(label)
    if match is None or re.match(r"H\d+O", label):
        return None
    return element_number(match[1])


def names_hydrogen(label: str) -> bool:
    """Whether a site label stands for a group with hydrogen: water (Wat1, O1W, H2O), hydroxide, ammonium."""
    return _WITH_HYDROGEN.match(label) is not None
