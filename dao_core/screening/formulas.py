"""What the user asks for, in formulas: parsing, formula units per cell, chemical systems, files of formulas."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import combinations, product
from math import gcd
from pathlib import Path

from dao_core.elements import UnknownElementError, atomic_number

MAX_ATOMS = 20
MAX_COUNT = 999
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_TOKEN = re.compile(r"([A-Z][a-z]?)|([()\[\]])|(\d+(?:\.\d*)?|\.\d+)|(\s+)|(.)")


class FormulaError(ValueError):
    """A text that is not a formula we can search; the message names the part that is wrong and the remedy."""


@dataclass(frozen=True)
class Formula:
    """A parsed formula: `text` as typed, `counts` as typed (symbol, count), in the order of first appearance."""

    text: str
    counts: tuple[tuple[str, int], ...]

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
        return sum(self.unit.values())

    @property
    def reduced(self) -> str:
        """Reduced formula in pymatgen's order, the key used in CrysDB."""
        from pymatgen.core import Composition

        return str(Composition(self.unit).reduced_formula)

    @property
    def chemsys(self) -> str:
        return "-".join(sorted(self.unit))


def parse_formula(text: str) -> Formula:
    """Read a chemical formula such as `SrTiO3`, `Ca(OH)2` or `Fe₂O₃`.

    Raises FormulaError naming the token: unknown element, zero or fractional count, a bracket without partner, or
    an empty text.
    """
    clean = text.strip().translate(_SUBSCRIPTS)
    if not clean:
        raise FormulaError("empty formula: give one such as SrTiO3")
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
    return Formula(text.strip(), tuple(stack[0].items()))


def _explain_character(character: str) -> str:
    if character.islower():
        return f"{character!r} does not begin an element symbol: symbols start with a capital letter, as NaCl"
    if character in "+-":
        return f"{character!r} is a charge: give the neutral formula"
    if character in "·*.":
        return f"{character!r}: write adducts as one formula, such as CaSO6H4 for CaSO4 with two waters"
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

    Raises FormulaError where even one formula unit has more than `max_atoms` atoms.
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


def formulas_in_system(
    chemsys: str, *, max_atoms: int = 10, max_count: int = 6, subsystems: bool = False
) -> list[Formula]:
    """All charge-balanced formulas of a chemical system up to `max_atoms` atoms a formula unit, smallest first.

    `max_count` bounds each element's count; `subsystems` adds the binaries, ternaries, ... inside the system.
    """
    elements = parse_chemical_system(chemsys)
    sizes = range(2, len(elements) + 1) if subsystems else [len(elements)]
    found: list[Formula] = []
    for size in sizes:
        for subset in combinations(elements, size):
            for counts in product(range(1, max_count + 1), repeat=size):
                if sum(counts) > max_atoms or reduce(gcd, counts) != 1:
                    continue
                text = "".join(s + (str(n) if n > 1 else "") for s, n in zip(subset, counts, strict=True))
                formula = Formula(text, tuple(zip(subset, counts, strict=True)))
                if charge_balanced(formula):
                    found.append(formula)
    return sorted(found, key=lambda f: (f.atoms_per_unit, len(f.counts), f.text))


@dataclass(frozen=True)
class Selection:
    """The formulas of a search, each once, and in words what was asked for and left out."""

    formulas: list[Formula]
    left_out: list[str]


def select_formulas(
    texts: Iterable[str] = (),
    *,
    system: str | None = None,
    file: str | Path | None = None,
    unbalanced: bool = False,
    max_atoms: int = 10,
) -> Selection:
    """Formulas by name, of a chemical system up to `max_atoms` atoms a unit, and of a file.

    What no charge balance allows is left out and told, unless `unbalanced`. Raises FormulaError on a wrong formula or
    system; wrong rows of a file are left out by line.
    """
    found = [parse_formula(text) for text in texts]
    left_out: list[str] = []
    if file is not None:
        listed = read_formulas(file)
        found += listed.formulas
        left_out += [f"line {row.line}: {row.reason}" for row in listed.refused]
    if not unbalanced:
        for formula in [f for f in found if not charge_balanced(f)]:
            left_out.append(f"no oxidation states balance {formula.reduced}")
            found.remove(formula)
    if system is not None:
        found += formulas_in_system(system, max_atoms=max_atoms)
    return Selection(list({f.reduced: f for f in found}.values()), left_out)


@dataclass(frozen=True)
class RefusedRow:
    """A row of a formula file that was left out: its 1-based line, its text, and why."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class FormulaFile:
    """Formulas of a file (first appearance of each reduced formula) and the rows refused."""

    formulas: list[Formula]
    refused: list[RefusedRow]


def read_formulas(path: str | Path) -> FormulaFile:
    """Read formulas from a text file (one a line, `#` comments) or a CSV with a column `formula`.

    A wrong row is refused by line and reason, the others are kept; a repeated formula is refused as a repetition.
    Raises FormulaError where the file is missing, not text, or a CSV without the column.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise FormulaError(f"no file {path}: give a formula, a chemical system or an existing file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FormulaError(f"{path} cannot be read as text: {error}") from error
    formulas: list[Formula] = []
    refused: list[RefusedRow] = []
    seen: dict[str, int] = {}
    for line, entry in _rows(path, text):
        try:
            formula = parse_formula(entry)
        except FormulaError as error:
            refused.append(RefusedRow(line, entry, str(error)))
            continue
        if (key := formula.reduced) in seen:
            refused.append(RefusedRow(line, entry, f"repeats {key} of line {seen[key]}"))
            continue
        seen[key] = line
        formulas.append(formula)
    return FormulaFile(formulas, refused)


def _rows(path: Path, text: str) -> Iterator[tuple[int, str]]:
    if path.suffix.lower() == ".csv":
        reader = csv.DictReader(io.StringIO(text))
        if "formula" not in (reader.fieldnames or []):
            raise FormulaError(f"{path} has no column 'formula' (columns: {', '.join(reader.fieldnames or [])})")
        for row in reader:
            yield reader.line_num, (row["formula"] or "").strip()
        return
    for line, raw in enumerate(text.splitlines(), start=1):
        if entry := raw.split("#", 1)[0].strip():
            yield line, entry
