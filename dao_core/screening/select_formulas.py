"""Which formulas a search covers: typed ones, those of a chemical system, those of a file; and what is left out."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from itertools import product
from math import gcd
from pathlib import Path

from dao_core.screening.formulas import (
    MAX_ATOMS,
    Formula,
    FormulaError,
    charge_balanced,
    parse_chemical_system,
    parse_formula,
)

UNIT_ATOMS = 10  # of a formula unit in a chemical system, unless asked for more
MAX_COUNT = 6  # of one element in such a unit
COMPLEX_ALLOY = 4  # transition metals in an alloy that is mostly disordered
NAMED = 8  # formulas that a note lists by name
# of what alloys hold besides (Nd2Fe14B, MgCNi3, Fe4N), nobody counts charges
ALWAYS_ANIONS = frozenset({"F", "Cl", "Br", "I", "O"})


@dataclass(frozen=True)
class SystemRequest:
    """Formulas of a chemical system.

    Attributes:
        chemsys: Elements joined by "-", such as Li-Fe-O.
        unit_atoms: Most atoms of a formula unit that charge balance proposes, as far as `max_atoms` allows.
        unbalanced: Also what no charge balance allows.
        known: Reduced formulas that the library knows; those of this system are always part of it.
        max_atoms: Of a cell: larger units can't be searched.
    """

    chemsys: str
    unit_atoms: int = UNIT_ATOMS
    unbalanced: bool = False
    known: Collection[str] = ()
    max_atoms: int = MAX_ATOMS


@dataclass(frozen=True)
class Selection:
    """The formulas of a search, each once; in words what was left out, and what to know about the others."""

    formulas: list[Formula]
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def select_formulas(
    texts: Iterable[str] = (), *, file: str | Path | None = None, system: SystemRequest | None = None
) -> Selection:
    """Collect the formulas of a search from everywhere.

    A typed or listed formula is always part of it: that no oxidation states balance it is a note.

    Args:
        texts: Formulas as typed.
        file: Formulas one a line, or a CSV with a column `formula`; wrong rows are left out by line.
        system: A chemical system to enumerate.

    Returns:
        The formulas, each once, and what was left out by reason.

    Raises:
        FormulaError: A formula, the system or the file is wrong.
    """
    chosen = [parse_formula(text) for text in texts]
    left_out: list[str] = []
    notes: list[str] = []
    if file is not None:
        listed = read_formulas(file)
        chosen += listed.formulas
        left_out += [f"line {row.line}: {row.reason}" for row in listed.refused]
    notes += [note for formula in chosen if (note := formula_note(formula)) is not None]
    if system is not None:
        enumerated = formulas_in_system(system)
        chosen += enumerated.formulas
        left_out += enumerated.left_out
    first: dict[str, Formula] = {}
    for formula in chosen:
        first.setdefault(formula.reduced, formula)
    return Selection(list(first.values()), left_out, notes)


def formula_note(formula: Formula) -> str | None:
    """What is unusual about a formula, in a sentence: no oxidation states balance it, or its atoms rarely order."""
    if _is_complex_alloy(formula.unit):
        return f"{formula.shown}: most alloys of so many metals are disordered; only ordered structures are searched"
    if len(formula.unit) == 1 or not ALWAYS_ANIONS & set(formula.unit) or charge_balanced(formula):
        return None
    return f"{formula.shown}: no common oxidation states balance it (searched all the same)"


def _is_complex_alloy(unit: Mapping[str, int]) -> bool:
    """Whether it is one of transition metals alone or with aluminium, as high-entropy alloys are."""
    from pymatgen.core import Element

    metals = [s for s in unit if Element(s).block == "d"]
    return len(metals) >= COMPLEX_ALLOY and set(unit) - set(metals) <= {"Al"}


def formulas_in_system(request: SystemRequest) -> Selection:
    """Formulas of a chemical system, smallest first: those that charges balance and those that the library knows.

    Args:
        request: Which system, up to which size.

    Returns:
        The formulas with all elements of the system, and what its size limit leaves out.

    Raises:
        FormulaError: The text is no chemical system.
    """
    elements = parse_chemical_system(request.chemsys)
    most = min(request.unit_atoms, request.max_atoms)
    chosen = {f.reduced: f for f in _enumerated(elements, most) if _allowed(f, request)}
    known = [_in_order(parse_formula(text, typed=False), elements) for text in request.known]
    known = [f for f in known if set(f.unit) == set(elements)]
    chosen |= {f.reduced: f for f in known if f.atoms_per_unit <= request.max_atoms and f.reduced not in chosen}
    left_out = []
    if large := sorted(f.shown for f in known if f.atoms_per_unit > request.max_atoms):
        left_out.append(f"{_listed(large)}: known, but larger than --max-atoms {request.max_atoms}")
    option, further = "--unit-atoms", min(2 * request.unit_atoms, request.max_atoms)
    if request.max_atoms < request.unit_atoms:  # the limit on cells holds for units as well
        option, further = "--max-atoms", request.unit_atoms
    larger = _enumerated(elements, further, above=most)
    beyond = [f.shown for f in larger if f.reduced not in chosen and _allowed(f, request)]
    if beyond:
        left_out.append(
            f"formulas of more than {most} atoms a unit, such as {_listed(beyond[:3])}: "
            f"{option} {further} takes {len(beyond)} more"
        )
    return Selection(sorted(chosen.values(), key=lambda f: (f.atoms_per_unit, f.shown)), left_out)


def _allowed(formula: Formula, request: SystemRequest) -> bool:
    return request.unbalanced or charge_balanced(formula)


def _enumerated(elements: Iterable[str], unit_atoms: int, *, above: int = 0) -> list[Formula]:
    symbols = tuple(elements)
    out = []
    for counts in product(range(1, MAX_COUNT + 1), repeat=len(symbols)):
        if above < sum(counts) <= unit_atoms and reduce(gcd, counts) == 1:
            out.append(_formula(dict(zip(symbols, counts, strict=True))))
    return sorted(out, key=lambda f: (f.atoms_per_unit, f.text))


def _in_order(formula: Formula, elements: Iterable[str]) -> Formula:
    return _formula({s: formula.unit[s] for s in elements if s in formula.unit})


def _formula(unit: dict[str, int]) -> Formula:
    return Formula("".join(s + (str(n) if n > 1 else "") for s, n in unit.items()), tuple(unit.items()))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


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
        text = _plain_text(path.read_bytes())
    except FileNotFoundError:
        raise FormulaError(f"no file {path}: give a formula, a chemical system or an existing file") from None
    except IsADirectoryError:
        raise FormulaError(f"{path} is a folder: name a file with one formula a line") from None
    except UnicodeDecodeError:
        raise FormulaError(f"{path} is no text in UTF-8: save it as plain text, one formula a line") from None
    except OSError as error:
        raise FormulaError(f"{path} cannot be read ({error.strerror or error})") from error
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


def _plain_text(data: bytes) -> str:
    """UTF-8, or Latin-1, in which old tables spell their authors. Raises UnicodeDecodeError for anything else."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" in data or data.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _rows(path: Path, text: str) -> Iterator[tuple[int, str]]:
    if path.suffix.lower() in (".csv", ".tsv"):
        lines = text.splitlines(keepends=True)
        above = next((i for i, line in enumerate(lines) if line.strip()), len(lines))  # blank lines over the header
        head = lines[above] if above < len(lines) else ""
        reader = csv.DictReader(io.StringIO("".join(lines[above:])), delimiter=max(",;\t", key=head.count))
        columns = reader.fieldnames or []
        named = [c for c in columns if c.strip().lower() == "formula"]
        if len(named) != 1:
            found = "two columns" if named else "no column"
            raise FormulaError(f"{path} has {found} 'formula' (columns: {', '.join(columns)}): head one of them so")
        for row in reader:
            yield above + reader.line_num, (row[named[0]] or "").strip()
        return
    for line, raw in enumerate(text.splitlines(), start=1):
        if entry := raw.split("#", 1)[0].strip():
            yield line, entry
