"""A chemical formula as the user types it: parsing, adducts, charge balance, formula units per cell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import gcd, lcm

from dao_core.elements import UnknownElementError, atomic_number
from dao_core.screening.formula_mistakes import (
    DOTS,
    MOLECULES,
    explain_character,
    explain_unknown,
    glued_molecule,
    mistake_in,
    overfull,
    shown,
    twice_glued,
    with_a_dot,
)

MAX_ATOMS = 64  # of a cell: LiFePO4 has 28, beryl 58
LARGEST_CELL = 200  # atoms: larger ones are not searched, whatever is asked
MAX_COUNT = 999
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
MAX_LENGTH = 200  # characters of a formula
_NUMBER = r"\d+/[1-9]\d*|\d+(?:\.\d+)?"  # of molecules in an adduct
_ADDUCT_DOTS = re.compile(rf"\s*[{DOTS}]\s*")
_PERIOD = re.compile(rf"\.((?:{_NUMBER})?(?:{'|'.join(MOLECULES)}))(?=$|\.)|\.(?=[A-Z(\[])")
_MULTIPLE = re.compile(rf"({_NUMBER})?(.*)", re.DOTALL)
_CLOSING = {"(": ")", "[": "]"}
_TOKEN = re.compile(r"([A-Z][a-z]?)|([()\[\]])|(\d+(?:\.\d*)?|\.\d+)|(\s+)|(.)")


class FormulaError(ValueError):
    """A text that is not a formula we can search; the message names the part that is wrong and the remedy."""


@dataclass(frozen=True)
class Formula:
    """A parsed formula: `text` as typed, `counts` as typed (symbol, count), in the order of first appearance."""

    text: str
    counts: tuple[tuple[str, int], ...]
    adduct: bool = False

    @property
    def divisor(self) -> int:
        """Greatest common divisor of the counts: the formula units that the text spells out."""
        return reduce(gcd, (n for _, n in self.counts))

    @property
    def unit(self) -> dict[str, int]:
        """One formula unit, symbol -> count."""
        return {symbol: n // self.divisor for symbol, n in self.counts}

    @property
    def atoms_per_unit(self) -> int:
        """Atoms of one formula unit."""
        return sum(self.unit.values())

    @property
    def reduced(self) -> str:
        """Reduced formula in pymatgen's order, the key used in CrysDB."""
        from pymatgen.core import Composition

        return str(Composition(self.unit).reduced_formula)

    @property
    def shown(self) -> str:
        """What a user sees: the formula as typed, or its unit in the typed order where several units were typed."""
        if self.divisor == 1:
            return self.text
        return "".join(symbol + (str(n) if n > 1 else "") for symbol, n in self.unit.items())

    @property
    def chemsys(self) -> str:
        """The elements in alphabetical order, such as O-Sr-Ti."""
        return "-".join(sorted(self.unit))


def parse_formula(text: str, *, typed: bool = True) -> Formula:
    """Read a chemical formula such as `SrTiO3`, `Ca(OH)2`, `Fe₂O₃` or the adduct `CuSO4.5H2O`.

    A period joins a molecule (`.5H2O`); the dots of `CuSO4·5H2O` and `CuSO4*5H2O` join anything.

    Args:
        text: The formula.
        typed: A person wrote it, so what may be meant otherwise is refused. A database's `FeC3SO3` is what it says.

    Raises:
        FormulaError: Names the token: unknown element, zero or fractional count, a bracket without partner, an empty
            text.
    """
    if not isinstance(text, str):
        raise FormulaError(f"{shown(text)} is no formula: give one text such as 'SrTiO3'")
    clean = text.strip().translate(_SUBSCRIPTS)
    if not clean:
        raise FormulaError("empty formula: give one such as SrTiO3")
    if len(clean) > MAX_LENGTH:
        raise FormulaError(f"formula {shown(text)} has {len(clean)} characters, {MAX_LENGTH} at most: give one formula")
    if typed and (mistake := mistake_in(clean)):
        raise FormulaError(f"formula {shown(text)}: {mistake}")
    pieces = _adduct_parts(clean, typed=typed)
    parts = [_multiplied(p, text) for p in pieces] if len(pieces) > 1 else [(Fraction(1), _counts(clean, text))]
    scale = lcm(*(factor.denominator for factor, _ in parts))
    total: dict[str, int] = {}
    for factor, counts in parts:
        _multiply(total, counts, int(factor * scale))
    return Formula(text.strip(), tuple(total.items()), adduct=len(parts) > 1)


def _adduct_parts(clean: str, *, typed: bool) -> list[str]:
    """The formulas that dots join, each with its multiple before it."""
    pieces = []
    for part in _ADDUCT_DOTS.split(clean):
        number, formula = _split_multiple(part)
        first, *others = [piece for piece in _PERIOD.split(formula) if piece] or [""]
        if typed:
            _check_ambiguous(first, others, clean)
        pieces += [number + first, *others]
    return pieces


def _check_ambiguous(first: str, others: list[str], text: str) -> None:
    """Refuse a number that may count the atoms before it or the molecules after it: `CuSO45H2O`, `CaSO40.5H2O`."""
    glued = glued_molecule(first)
    if glued and (twice_glued(first) or overfull(_counts(glued[0], text))):
        raise FormulaError(
            f"formula {shown(text)}: {glued[1]}{glued[2]} may be {glued[1]} atoms before {glued[2]} or a number of "
            f"{glued[2]}: join the molecules by a dot, as in {with_a_dot(*glued)}"
        )
    digits = re.search(r"\d{2,}$", first)
    if digits and others and others[0][:1].isdigit() and overfull(_counts(first, text)):
        split = f"{first[:-1]}·{first[-1]}.{others[0]}"
        raise FormulaError(
            f"formula {shown(text)}: the {digits[0]} before the period may be a count or begin a number of molecules: "
            f"use · or * between the formulas, as in {split}"
        )


def _split_multiple(part: str) -> tuple[str, str]:
    match = _MULTIPLE.fullmatch(part)
    assert match is not None  # it matches anything
    return match.group(1) or "", match.group(2)


def _multiplied(part: str, text: str) -> tuple[Fraction, dict[str, int]]:
    """How often one formula of an adduct stands there, and its counts."""
    number, formula = _split_multiple(part)
    factor = Fraction(number or 1)
    if factor == 0:
        raise FormulaError(f"formula {shown(text)}: {part} asks for zero of it; leave it out")
    return factor, _counts(formula, text)


def _counts(clean: str, text: str) -> dict[str, int]:
    """Symbol -> count of a formula without dots."""
    stack: list[tuple[str, dict[str, int]]] = [("", {})]  # opening bracket, what stands in it
    last: dict[str, int] = {}
    for match in _TOKEN.finditer(clean):
        symbol, bracket, number, space, other = match.groups()
        if space:
            raise FormulaError(f"formula {shown(text)} contains a space: write one formula without spaces")
        if other:
            raise FormulaError(f"formula {shown(text)}: {explain_character(clean, match.start())}")
        if number:
            _multiply(stack[-1][1], last, _count(number, last, text))
            last = {}
            continue
        _merge(stack[-1][1], last)
        last = {}
        if symbol:
            last = {_known(symbol, text): 1}
        elif bracket in _CLOSING:
            stack.append((bracket, {}))
        else:
            last = _closed(stack, bracket, text)
    _merge(stack[-1][1], last)
    if len(stack) > 1:
        raise FormulaError(f"formula {shown(text)}: a bracket is not closed, add {_CLOSING[stack[-1][0]]!r}")
    if not stack[0][1]:
        raise FormulaError(f"formula {shown(text)} contains no element")
    return stack[0][1]


def _closed(stack: list[tuple[str, dict[str, int]]], bracket: str, text: str) -> dict[str, int]:
    """What stood in the bracket that closes here."""
    if len(stack) == 1:
        raise FormulaError(f"formula {shown(text)}: {bracket!r} closes a bracket that was never opened: remove it")
    opened, group = stack.pop()
    if _CLOSING[opened] != bracket:
        raise FormulaError(f"formula {shown(text)}: {bracket!r} closes {opened!r}: write {_CLOSING[opened]!r}")
    return group


def _count(number: str, group: dict[str, int], text: str) -> int:
    name, token = shown(text), shown("".join(group) + number).strip("'")
    if not group:
        raise FormulaError(f"formula {name}: the number {number[:9]} follows nothing it could count: leave it out")
    if "." in number:
        raise FormulaError(
            f"formula {name}: {token} is a fraction; multiply the formula up to whole atoms, or join two formulas by "
            "· or * instead of the period"
        )
    value = int(number)
    if value == 0:
        raise FormulaError(f"formula {name}: {token} asks for zero atoms; leave the element out")
    if number.startswith("0"):
        raise FormulaError(f"formula {name}: {token} has a number that begins with 0: is it the letter O, oxygen?")
    if value > MAX_COUNT:
        raise FormulaError(f"formula {name}: {token} asks for more than {MAX_COUNT} atoms")
    return value


def _known(symbol: str, text: str) -> str:
    try:
        atomic_number(symbol)
    except UnknownElementError:
        hint = explain_unknown(symbol, text)
        raise FormulaError(f"formula {shown(text)}: {symbol} is not an element from H to Fm{hint}") from None
    return symbol


def _multiply(total: dict[str, int], group: dict[str, int], factor: int) -> None:
    _merge(total, {symbol: n * factor for symbol, n in group.items()})


def _merge(total: dict[str, int], group: dict[str, int]) -> None:
    for symbol, n in group.items():
        total[symbol] = total.get(symbol, 0) + n


def enumerate_cells(formula: str | Formula, max_atoms: int = MAX_ATOMS, *, min_atoms: int = 1) -> list[dict[str, int]]:
    """Atoms of the cells with Z = 1, 2, ... formula units, smallest first.

    Args:
        formula: As typed, or parsed.
        max_atoms: Most atoms in a cell.
        min_atoms: Fewest atoms in a cell.

    Returns:
        Symbol -> atoms for each cell.

    Raises:
        FormulaError: Even one formula unit has more than `max_atoms` atoms.
    """
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    size = parsed.atoms_per_unit
    if size > max(max_atoms, LARGEST_CELL):  # to raise the limit would only be refused again
        raise FormulaError(
            f"{parsed.text}: one formula unit has {size} atoms, and cells of more than {LARGEST_CELL} are not "
            "searched: give a smaller formula"
        )
    if size > max_atoms:
        raise FormulaError(
            f"{parsed.text}: one formula unit has {size} atoms, more than max_atoms = {max_atoms}; "
            f"raise max_atoms to {size}"
        )
    units = range(max(1, -(-min_atoms // size)), max_atoms // size + 1)
    return [{symbol: n * z for symbol, n in parsed.unit.items()} for z in units]


def charge_balanced(formula: str | Formula) -> bool:
    """Whether common oxidation states add to zero, mixed valence included (metals and alloys pass): see `balances`."""
    from dao_core.screening.charge_balance import balances

    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    return balances(parsed.unit)


def parse_chemical_system(text: str) -> tuple[str, ...]:
    """Elements of a chemical system such as `Li-Fe-O`, in the order given. Raises FormulaError by name."""
    if not isinstance(text, str):
        raise FormulaError(f"{shown(text)} is no chemical system: join at least two elements by '-', as in Li-Fe-O")
    elements = [part.strip() for part in text.strip().split("-")]
    if len(elements) < 2 or not all(elements):
        raise FormulaError(f"{shown(text)} is not a chemical system: join at least two elements by '-', as in Li-Fe-O")
    for symbol in elements:
        _known(symbol, text)
    if len(set(elements)) < len(elements):
        raise FormulaError(f"{shown(text)} names an element twice")
    return tuple(elements)
