"""What people write that is no formula, or might be two: each gets its own words and a remedy."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Mapping
from reprlib import Repr

from dao_core.elements import UnknownElementError, atomic_number

# what "." joins to a formula; any other "4.5H" would be a fraction (the dots · * • always join)
MOLECULES = ("H2O", "H2O2", "NH3", "N2H4", "HF", "HCl", "HBr", "CO2", "SO2", "SO3", "CH3OH", "CH4O")
DOTS = "·*•⋅∙"
_ANY_DOT = rf"[.{DOTS}]"
_GLUED = re.compile(rf"(?P<base>.*?(?P<count>\d+))(?P<molecule>{'|'.join(MOLECULES)})")
_JOINED_TWICE = re.compile(rf".*(?:NH3|H2O|OH)\d+(?:{'|'.join(MOLECULES)})")
_BRACKETED_STATE = re.compile(r"[(\[](?:I{1,3}|IV|VI{0,3})[)\]]", re.IGNORECASE)
# after an element: "FeIIO", "MnIVO2", "CrVIO3"; VI with a count is vanadium iodide
_BARE_STATE = re.compile(r"II(?![a-z])|(?<=[A-Za-z)\]])(?:IV(?![a-z])|VI(?![a-z\d])|VV(?![a-z]))")
_BRACKETED_CHARGE = re.compile(r"[(\[](?:\d+[+-]|[+-]\d*)[)\]]")
_STATE_OF_MATTER = re.compile(r"\((?:s|l|g|cr|aq|am)\)$")
_LEADING_WORD = re.compile(r"([^\W\dA-Z_]+)[-\s](?=[A-Z])")
_MINUS = str.maketrans("–−‐", "---")
_WHAT_IS_THERE = "a formula has symbols, counts, brackets and dots, as Ca(OH)2"
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def shown(text: object) -> str:
    """A text as a message quotes it, a long one shortened."""
    return _SHORT.repr(text)


def mistake_in(clean: str) -> str | None:
    """What is wrong with a formula as a whole.

    Args:
        clean: The formula without spaces around it, subscripts as digits.

    Returns:
        The mistake and the remedy; None where its tokens decide.
    """
    text = clean.translate(_MINUS)
    if state := _BRACKETED_STATE.search(text) or _BARE_STATE.search(text):
        return f"{state[0]} is an oxidation state: leave it out, as in Fe2O3 for Fe(III)2O3"
    if charge := _BRACKETED_CHARGE.search(text):
        return f"{charge[0]} is a charge: give the neutral formula"
    if matter := _STATE_OF_MATTER.search(text):
        return f"{matter[0]} is a state of matter: leave it out"
    if word := _LEADING_WORD.match(text):
        return f"{word[1]!r} is no part of a formula: leave it out (a polymorph has no formula of its own)"
    if _elements_joined(text):
        return f"it is a chemical system: search it by dao screen --system {text}, or write one formula"
    if re.match(_ANY_DOT, text):
        return f"the first {text[0]!r} joins nothing: remove it"
    if re.search(rf"{_ANY_DOT}$", text):
        return f"the last {text[-1]!r} joins nothing: remove it, or join the parts of an adduct by a dot"
    if twice := re.search(rf"{_ANY_DOT}\s*{_ANY_DOT}", text):
        return f"{twice[0]!r}: join the parts of an adduct by one dot"
    if not re.search(f"[{DOTS}]", text) and re.match(r"\d+[A-Z].*[A-Za-z\d)\]]\.\d+[A-Z]", text):
        return f"the period may begin a fraction: join formulas by · or *, as in {text.replace('.', '·')}"
    return None


def _elements_joined(text: str) -> bool:
    parts = text.split("-")
    try:
        return len(parts) > 1 and all(atomic_number(part) for part in parts)
    except UnknownElementError:
        return False


def explain_character(text: str, at: int) -> str:
    """Why a character stands in no formula, and what to write in its place.

    Args:
        text: The formula.
        at: Index of the character.
    """
    character, rest = text[at], text[at + 1 :]
    if character.translate(_MINUS) in "+-±":
        return _explain_sign(character, rest, ends_charged=text[-1] in "+-")
    if unicodedata.normalize("NFKC", character) != character and "SUPERSCRIPT" in unicodedata.name(character, ""):
        return f"{character!r} is a superscript: give the neutral formula, with counts as plain digits"
    if "\N{FRACTION SLASH}" in unicodedata.normalize("NFKC", character):
        return f"{character!r}: write the number as a decimal, such as 0.5"
    if not character.isascii():
        name = unicodedata.name(character, "without a name").lower()
        return f"unexpected character {character!r} ({name}): {_WHAT_IS_THERE}"
    if character.islower():
        return f"{character!r} does not begin an element symbol: symbols start with a capital letter, as NaCl"
    if character == ".":
        return f"{character!r}: join the parts of an adduct by a dot, such as CuSO4.5H2O or CaO*SiO2"
    if character == "/":
        return "'/' divides nothing here: give one formula"
    if character in "{}":
        return f"{character!r} is no bracket of a formula: use ( ) or [ ]"
    return f"unexpected character {character!r}: {_WHAT_IS_THERE}"


def _explain_sign(sign: str, rest: str, *, ends_charged: bool) -> str:
    if re.match(r"[xyzdδ](?![a-z])", rest):
        return f"'{sign}{rest[0]}' is a content that varies: give whole numbers, such as YBa2Cu3O7"
    if word := re.match(r"[a-z]{2,}", rest):
        return f"'{sign}{word[0]}' is no part of a formula: leave it out (a polymorph has no formula of its own)"
    if re.match(r"[A-Z\d(\[]*[A-Z]", rest) and not ends_charged:
        return f"{sign!r} joins nothing: give one formula; the parts of a compound are joined by · or *, as MgO*SiO2"
    return f"{sign!r} is a charge: give the neutral formula"


def explain_unknown(symbol: str, text: str) -> str:
    """What to write in place of a symbol that is no element."""
    if symbol in ("D", "T"):
        plain = re.sub(rf"{symbol}(?![a-z])", "H", text.strip())
        return f"; isotopes are written H, as in {plain}" if len(plain) <= 60 else "; isotopes are written H"
    return f" ({symbol[0]!r} and {symbol[1]!r} in upper case?)" if len(symbol) == 2 else ""


def glued_molecule(piece: str) -> tuple[str, str, str] | None:
    """(base, its last count, molecule) where a molecule follows a count without a dot, as in `CuSO45H2O`."""
    match = _GLUED.fullmatch(piece)
    return None if match is None else (match["base"], match["count"], match["molecule"])


def twice_glued(piece: str) -> bool:
    """Whether a number stands between two molecules, as in `NH32H2O`, or a hydroxide and one, as in `NaOH4H2O`."""
    return _JOINED_TWICE.fullmatch(piece) is not None


def with_a_dot(base: str, count: str, molecule: str) -> str:
    """The likelier way to write a formula and its molecules: `CuSO4·5H2O` for the base `CuSO45`."""
    front = base.removesuffix(count)
    if count[1:].startswith("0"):
        return f"{base}·{molecule}"
    return f"{front}·{count}{molecule}" if len(count) == 1 else f"{front}{count[0]}·{count[1:]}{molecule}"


def overfull(counts: Mapping[str, int]) -> bool:
    """Whether the most electronegative element is more than the others can bind, all in their highest oxidation states.

    Args:
        counts: Symbol -> atoms. An element alone binds itself: never overfull.
    """
    if len(counts) == 1:
        return False
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen announces that noble gases have no electronegativity
        anion = max(counts, key=lambda symbol: Element(symbol).X if Element(symbol).X > 0 else 0.0)
    most = sum(n * max(Element(symbol).max_oxidation_state, 0) for symbol, n in counts.items() if symbol != anion)
    return -counts[anion] * min(Element(anion).min_oxidation_state, 0) > most
