"""A chemical formula as the user types it: parsing, adducts, charge balance, formula units per cell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import gcd, lcm

from dao_core.elements import UnknownElementError, atomic_number

MAX_ATOMS = 64  # of a cell: LiFePO4 has 28, beryl 58
MAX_COUNT = 999
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
# what "." joins to a formula; any other "4.5H" would be a fraction (the dots · * • always join)
MOLECULES = ("H2O", "H2O2", "NH3", "N2H4", "HF", "HCl", "HBr", "CO2", "SO2", "SO3", "CH3OH", "CH4O")
_ADDUCT_DOTS = re.compile(r"\s*[·*•⋅∙]\s*")
_PERIOD = re.compile(rf"\.((?:\d+(?:\.\d+)?)?(?:{'|'.join(MOLECULES)}))(?=$|\.)|\.(?=[A-Z(\[])")
_MULTIPLE = re.compile(r"(\d+(?:\.\d+)?)?(.*)", re.DOTALL)
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


def parse_formula(text: str) -> Formula:
    """Read a chemical formula such as `SrTiO3`, `Ca(OH)2`, `Fe₂O₃` or the adduct `CuSO4.5H2O`.

    A period joins a molecule (`.5H2O`); the dots of `CuSO4·5H2O` and `CuSO4*5H2O` join anything.

    Raises:
        FormulaError: Names the token: unknown element, zero or fractional count, a bracket without partner, an empty
            text.
    """
    clean = text.strip().translate(_SUBSCRIPTS)
    if not clean:
        raise FormulaError("empty formula: give one such as SrTiO3")
    pieces = _adduct_parts(clean)
    parts = [_multiplied(p, text) for p in pieces] if len(pieces) > 1 else [(Fraction(1), _counts(clean, text))]
    scale = lcm(*(factor.denominator for factor, _ in parts))
    total: dict[str, int] = {}
    for factor, counts in parts:
        _multiply(total, counts, int(factor * scale))
    return Formula(text.strip(), tuple(total.items()), adduct=len(parts) > 1)


def _adduct_parts(clean: str) -> list[str]:
    """The formulas that dots join, each with its multiple before it."""
    pieces = []
    for part in _ADDUCT_DOTS.split(clean):
        number, formula = _split_multiple(part)
        first, *others = [piece for piece in _PERIOD.split(formula) if piece] or [""]
        pieces += [number + first, *others]
    return pieces


def _split_multiple(part: str) -> tuple[str, str]:
    match = _MULTIPLE.fullmatch(part)
    assert match is not None  # it matches anything
    return match.group(1) or "", match.group(2)


def _multiplied(part: str, text: str) -> tuple[Fraction, dict[str, int]]:
    """How often one formula of an adduct stands there, and its counts."""
    number, formula = _split_multiple(part)
    factor = Fraction(number or 1)
    if factor == 0:
        raise FormulaError(f"formula {text!r}: {part} asks for zero of it; leave it out")
    return factor, _counts(formula, text)


def _counts(clean: str, text: str) -> dict[str, int]:
    """Symbol -> count of a formula without dots."""
    stack: list[dict[str, int]] = [{}]
    last: dict[str, int] = {}
    for match in _TOKEN.finditer(clean):
        symbol, bracket, number, space, other = match.groups()
        if space:
            raise FormulaError(f"formula {text!r} contains a space: write one formula without spaces")
        if other:
            raise FormulaError(f"formula {text!r}: {_explain_character(other)}")
        if number:
            _multiply(stack[-1], last, _count(number, last, text))
            last = {}
            continue
        _merge(stack[-1], last)
        last = {}
        if symbol:
            last = {_known(symbol, text): 1}
        elif bracket in "([":
            stack.append({})
        elif len(stack) == 1:
            raise FormulaError(f"formula {text!r}: {bracket!r} closes a bracket that was never opened")
        else:
            last = stack.pop()
    _merge(stack[-1], last)
    if len(stack) > 1:
        raise FormulaError(f"formula {text!r}: a bracket is not closed, add ')'")
    if not stack[0]:
        raise FormulaError(f"formula {text!r} contains no element")
    return stack[0]


def _explain_character(character: str) -> str:
    if character.islower():
        return f"{character!r} does not begin an element symbol: symbols start with a capital letter, as NaCl"
    if character in "+-":
        return f"{character!r} is a charge: give the neutral formula"
    if character == ".":
        return f"{character!r}: join the parts of an adduct by a dot, such as CuSO4.5H2O or CaO*SiO2"
    return f"unexpected character {character!r}"


def _count(number: str, group: dict[str, int], text: str) -> int:
    token = "".join(group) + number
    if not group:
        raise FormulaError(f"formula {text!r}: the number {number} follows nothing it could count")
    if "." in number:
        raise FormulaError(f"formula {text!r}: {token} is a fraction; multiply the formula up to whole atoms")
    value = int(number)
    if value == 0:
        raise FormulaError(f"formula {text!r}: {token} asks for zero atoms; leave the element out")
    if value > MAX_COUNT:
        raise FormulaError(f"formula {text!r}: {token} asks for more than {MAX_COUNT} atoms")
    return value


def _known(symbol: str, text: str) -> str:
    try:
        atomic_number(symbol)
    except UnknownElementError:
        hint = f" ({symbol[0]!r} and {symbol[1]!r} in upper case?)" if len(symbol) == 2 else ""
        raise FormulaError(f"formula {text!r}: {symbol} is not an element from H to Fm{hint}") from None
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
    if size > max_atoms:
        raise FormulaError(
            f"{parsed.text}: one formula unit has {size} atoms, more than max_atoms = {max_atoms}; "
            f"raise max_atoms to {size}"
        )
    units = range(max(1, -(-min_atoms // size)), max_atoms // size + 1)
    return [{symbol: n * z for symbol, n in parsed.unit.items()} for z in units]


def charge_balanced(formula: str | Formula) -> bool:
    """Whether SMACT finds oxidation states that add to zero and agree with electronegativity (metals and alloys pass).

    Mixed valence (Fe3O4) counts as balanced. Source: Davies et al., J. Open Source Softw. 4, 1361 (2019).
    """
    from smact.screening import smact_validity

    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    return bool(smact_validity(parsed.reduced, mixed_valence=True))


def parse_chemical_system(text: str) -> tuple[str, ...]:
    """Elements of a chemical system such as `Li-Fe-O`, in the order given. Raises FormulaError by name."""
    elements = [part.strip() for part in text.strip().split("-")]
    if len(elements) < 2 or not all(elements):
        raise FormulaError(f"{text!r} is not a chemical system: join at least two elements by '-', as in Li-Fe-O")
    for symbol in elements:
        _known(symbol, text)
    if len(set(elements)) < len(elements):
        raise FormulaError(f"{text!r} names an element twice")
    return tuple(elements)
