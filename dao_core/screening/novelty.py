"""Is a candidate known? Against CrysDB records: the same structure, the same prototype, or new."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import reduce
from math import gcd
from typing import Any, Protocol

from dao_core.crystal import Crystal
from dao_core.library.known import KnownStructure
from dao_core.matching.alignment import Cell
from dao_core.matching.reduction import reduced_primitive
from dao_core.matching.same import CLOSE, same_reduced, without_hand
from dao_core.screening.candidate import Candidate
from dao_core.screening.known import KnownStructures
from dao_core.screening.symmetry import SNAP_SYMPREC, SymmetryError, prototype_label

MATCH = "match"
SAME_PROTOTYPE = "same prototype"
NEW = "new"


class StructureRecord(Protocol):
    """What novelty needs of a CrysDB record."""

    @property
    def material_id(self) -> str:
        """Id of the row."""

    @property
    def formula_reduced(self) -> str:
        """Reduced formula."""

    @property
    def spacegroup_number(self) -> int | None:
        """1 to 230, where it is known."""

    @property
    def atomic_numbers(self) -> Any:
        """One an atom."""

    @property
    def crystal(self) -> Crystal:
        """The structure."""


class NoveltyIndex:
    """Known structures by formula and by stoichiometry; matching and labels are done on demand and kept.

    A database of 100,000 records is indexed by counting atoms only; symmetry is analysed for records with the
    candidate's stoichiometry and space group, structures are matched inside one formula.
    """

    def __init__(self, records: Iterable[StructureRecord]) -> None:
        self._by_formula: dict[str, list[StructureRecord]] = defaultdict(list)
        self._by_stoichiometry: dict[tuple[int, ...], list[StructureRecord]] = defaultdict(list)
        self._cells: dict[int, Cell] = {}
        self._labels: dict[int, str | None] = {}
        self.n_records = 0
        for record in records:
            self.n_records += 1
            self._by_formula[record.formula_reduced].append(record)
            self._by_stoichiometry[stoichiometry(record.atomic_numbers)].append(record)

    def judge(self, candidate: Candidate) -> tuple[str, str | None]:
        """(`match` | `same prototype` | `new`, the id of the known structure or None)."""
        same = self._matching(candidate)
        if same is not None:
            return MATCH, same
        label = candidate.prototype or _label(candidate.crystal)
        if label is None:
            return NEW, None
        label, group = _without_hand(label), without_hand(int(label.split("_")[2]))
        for record in self._by_stoichiometry[stoichiometry(candidate.crystal.atomic_numbers)]:
            if without_hand(record.spacegroup_number) in (None, group) and self._label_of(record) == label:
                return SAME_PROTOTYPE, record.material_id
        return NEW, None

    def _matching(self, candidate: Candidate) -> str | None:
        cell, group = reduced_primitive(candidate.crystal), without_hand(candidate.spacegroup_after)
        records = self._by_formula.get(candidate.formula, [])
        for record in sorted(records, key=lambda r: without_hand(r.spacegroup_number) != group):
            if id(record) not in self._cells:
                self._cells[id(record)] = reduced_primitive(record.crystal)
            if same_reduced(cell, self._cells[id(record)]):
                return record.material_id
        return None

    def _label_of(self, record: StructureRecord) -> str | None:
        if id(record) not in self._labels:
            label = _label(record.crystal)
            self._labels[id(record)] = None if label is None else _without_hand(label)
        return self._labels[id(record)]


def stoichiometry(atomic_numbers: Iterable[int]) -> tuple[int, ...]:
    """Sorted counts of a reduced formula without its elements: (1, 1, 3) for every ABX3."""
    counts = Counter(int(z) for z in atomic_numbers).values()
    divisor = reduce(gcd, counts)
    return tuple(sorted(n // divisor for n in counts))


def _label(crystal: Crystal) -> str | None:
    try:
        return prototype_label(crystal, SNAP_SYMPREC)
    except SymmetryError:
        return None


def _without_hand(label: str) -> str:
    """A prototype's label, of two mirror images that of the first: matching does not tell them apart either."""
    formula, pearson, number, *letters = label.split("_")
    return "_".join([formula, pearson, str(without_hand(int(number))), *letters])


def with_novelty(candidates: Iterable[Candidate], index: NoveltyIndex) -> list[Candidate]:
    """Fill `novelty` and `novelty_reference` from the records of a CrysDB.

    Args:
        candidates: Any.
        index: Of the records; where it has none both fields stay as they were.

    Returns:
        The candidates; what the library knows already stays known.
    """
    out = []
    for c in candidates:
        if not index.n_records or c.novelty == MATCH:
            out.append(c)
            continue
        novelty, reference = index.judge(c)
        weaker = novelty == NEW and c.novelty == SAME_PROTOTYPE
        out.append(c if weaker else c.replace(novelty=novelty, novelty_reference=reference))
    return out


def with_library_novelty(candidates: Iterable[Candidate], library: KnownStructures) -> list[Candidate]:
    """Fill `novelty` and `novelty_reference` from the library that the search proposes from.

    A candidate is known where one of the library's structures of its formula and space group is the same crystal, or
    one of another space group is hardly distorted from it; `library_spacegroup` says in which it is listed. One that
    came from another compound's structure has a known prototype; anything else is new.

    Args:
        candidates: Any.
        library: Known structures by formula.

    Returns:
        The candidates in the same order.
    """
    known: dict[str, list[tuple[KnownStructure, Cell]]] = {}
    out = []
    for c in candidates:
        if c.formula not in known:
            known[c.formula] = [(k, reduced_primitive(k.crystal)) for k in library.of_formula(c.formula)]
        same = None if c.library_id else _same_as(c, known[c.formula])
        template = c.provenance.get("template_id")
        if c.library_id is not None:
            out.append(c.replace(novelty=MATCH, novelty_reference=c.library_id))
        elif same is not None:
            named = {"novelty_reference": same.material_id, "library_spacegroup": same.spacegroup_number}
            out.append(c.replace(novelty=MATCH, **named))
        elif template is not None and c.start_id is None:
            out.append(c.replace(novelty=SAME_PROTOTYPE, novelty_reference=str(template)))
        else:
            out.append(c.replace(novelty=NEW, novelty_reference=None))
    return out


def _same_as(c: Candidate, known: Sequence[tuple[KnownStructure, Cell]]) -> KnownStructure | None:
    """The known structure that a candidate is: one of its own space group, or one that is hardly distorted."""
    if not known:
        return None
    cell, group = reduced_primitive(c.crystal), without_hand(c.spacegroup_after)
    own = [without_hand(k.spacegroup_number) in (group, None) for k, _ in known]
    found = (k for (k, other), same in zip(known, own, strict=True) if same and same_reduced(cell, other))
    near = (k for (k, other), same in zip(known, own, strict=True) if not same and same_reduced(cell, other, CLOSE))
    return next(found, None) or next(near, None)
