"""The space group of a CIF block: operations, symbol, number and Hall symbol, which must not contradict each other.

Operations define a structure; a symbol or number stands for those of its setting. Where a symbol leaves the origin open
(24 groups have two), every choice is a candidate, and what the rest of the file says decides between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dao_core.readers.base import UnreadableError

if TYPE_CHECKING:
    from gemmi import SpaceGroup
    from gemmi.cif import Block

OPERATIONS = (
    "_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz", "_space_group_symop.operation_xyz",
    "_symmetry_equiv.pos_as_xyz",
)  # fmt: skip
SYMBOLS = (
    "_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_name_H-M_full",
    "_space_group_name_H-M_ref", "_space_group.name_H-M_alt", "_space_group.name_H-M_full",
    "_symmetry.space_group_name_H-M",
)  # fmt: skip
NUMBERS = (
    "_space_group_IT_number", "_symmetry_Int_Tables_number", "_space_group.IT_number", "_symmetry.Int_Tables_number",
)  # fmt: skip
HALLS = (
    "_space_group_name_Hall", "_symmetry_space_group_name_Hall", "_space_group.name_Hall",
    "_symmetry.space_group_name_Hall",
)  # fmt: skip
NULL = ("?", ".", "")
METRIC_TOLERANCE = 0.02  # a length that symmetry makes equal to another may differ by 1 %
TWENTY_FOURTHS = 24


@dataclass(frozen=True)
class Group:
    """Operations x -> R x + t on fractional coordinates: `rotations` (K, 3, 3), `translations` (K, 3) in [0, 1)."""

    name: str
    rotations: NDArray[np.int64]
    translations: NDArray[np.float64]

    @property
    def code(self) -> frozenset[bytes]:
        """The operations as a set, for comparisons; translations in twenty-fourths."""
        whole = np.rint(self.translations * TWENTY_FOURTHS).astype(np.int64) % TWENTY_FOURTHS
        rows = np.concatenate([self.rotations.reshape(-1, 9), whole], axis=1)
        return frozenset(row.tobytes() for row in np.ascontiguousarray(rows))

    def keeps(self, lattice: NDArray[np.float64]) -> bool:
        """Whether the lattice (3, 3) has the symmetry that the operations ask for, small errors aside."""
        metric = lattice @ lattice.T
        moved = np.einsum("kji,jl,klm->kim", self.rotations, metric, self.rotations)
        scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
        return bool((np.abs(moved - metric) <= METRIC_TOLERANCE * scale).all())


@dataclass(frozen=True)
class Symmetry:
    """Groups that the block may mean, likeliest first, and whether operations say so themselves."""

    candidates: tuple[Group, ...]
    explicit: bool


def symmetry_of(block: Block, lattice: NDArray[np.float64]) -> Symmetry:
    """The space groups that a block can mean.

    Args:
        block: One data block.
        lattice: Its cell (3, 3), rows in angstrom: it tells hexagonal from rhombohedral axes, and the unique axis.

    Raises:
        UnreadableError: No symmetry is given, or what is given contradicts itself.
    """
    symbols = list(dict.fromkeys(_values(block, SYMBOLS)))
    numbers = {_number(text) for text in _values(block, NUMBERS)}
    if len(numbers) > 1:
        raise UnreadableError(f"space group numbers {sorted(numbers)} contradict each other: correct the file")
    number = next(iter(numbers), None)
    halls = [_from_hall(text) for text in dict.fromkeys(_values(block, HALLS))]
    listed = _listed_operations(block)
    settings = [(text, _settings(text)) for text in symbols]
    _check_numbers(settings, number)
    explicit = listed or next((h for h in halls if h is not None), None)
    if explicit is not None:
        _check_explicit(explicit, halls, settings, number)
        if not explicit.keeps(lattice):
            raise UnreadableError("the cell does not have the symmetry of the operations: correct cell or operations")
        return Symmetry((explicit,), explicit=True)
    known = [(text, entries) for text, entries in settings if entries]
    if settings and not known:
        raise UnreadableError(f"unknown space group {settings[0][0]!r} and no operations: list the operations")
    if not known and number is None:
        raise UnreadableError(
            "no symmetry operations, symbol or number: name the space group, 'P 1' where there is none"
        )
    entries = _common(known) if known else _by_number(int(number or 1))
    groups = [group for group in map(_from_entry, entries) if group.keeps(lattice)]
    if not groups:
        what = known[0][0] if known else f"number {number}"
        raise UnreadableError(
            f"the cell does not have the symmetry of space group {what}: correct the one or the other"
        )
    return Symmetry(tuple(groups), explicit=False)


def _values(block: Block, tags: Iterable[str]) -> list[str]:
    from gemmi import cif

    texts = [cif.as_string(value).strip() for tag in tags for value in block.find_values(tag)]
    return [" ".join(text.split()) for text in texts if text not in NULL]


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,3}", text) or not 1 <= int(text) <= 230:
        raise UnreadableError(f"space group number {text!r}: numbers go from 1 to 230")
    return int(text)


def _listed_operations(block: Block) -> Group | None:
    from gemmi import Op

    texts = _values(block, OPERATIONS)
    if not texts:
        return None
    operations = []
    for text in texts:
        try:
            operations.append(Op(text.replace(" ", "")))
        except (RuntimeError, ValueError) as error:
            raise UnreadableError(f"symmetry operation {text!r}: {error}") from error
    group = _group("operations", [(op.rot, op.tran) for op in operations])
    _check_closed(group)
    return group


def _group(name: str, operations: Iterable[tuple[list[list[int]], list[int]]]) -> Group:
    from gemmi import Op

    unique = {}
    for rotation, translation in operations:
        rows = np.array(rotation)
        if (rows % Op.DEN).any():
            raise UnreadableError("a symmetry operation has a factor that is no whole number: correct it")
        shift = tuple(t % Op.DEN for t in translation)
        unique[(rows.tobytes(), shift)] = (rows // Op.DEN, np.array(shift) / Op.DEN)
    rotations = np.array([r for r, _ in unique.values()], dtype=np.int64)
    return Group(name, rotations, np.array([t for _, t in unique.values()]))


def _check_closed(group: Group) -> None:
    """Operations of a space group, taken one after the other, give operations of it, and one of them does nothing."""
    if (np.abs(np.rint(np.linalg.det(group.rotations))) != 1).any():
        raise UnreadableError("a symmetry operation changes the volume: correct it")
    code = group.code
    rotations = np.einsum("aij,bjk->abik", group.rotations, group.rotations).reshape(-1, 3, 3)
    translations = np.einsum("aij,bj->abi", group.rotations, group.translations) + group.translations[:, None]
    identity = Group("", np.eye(3, dtype=np.int64)[None], np.zeros((1, 3)))
    products = Group("", rotations, translations.reshape(-1, 3))
    if not identity.code <= code or not products.code <= code:
        raise UnreadableError("the symmetry operations are no group: some are missing or wrong; the file may be cut")


def _from_hall(text: str) -> Group | None:
    """The operations of a Hall symbol; None where it can't be read (files carry many home-made ones)."""
    from gemmi import symops_from_hall

    try:
        operations = symops_from_hall(text)
    except (RuntimeError, ValueError):
        return None
    return _group(f"Hall symbol {text!r}", [(op.rot, op.tran) for op in operations])


def _from_entry(entry: SpaceGroup) -> Group:
    return _group(entry.xhm(), [(op.rot, op.tran) for op in entry.operations()])


@lru_cache(maxsize=1)
def _table() -> list[SpaceGroup]:
    from gemmi import spacegroup_table

    return list(spacegroup_table())


@lru_cache(maxsize=256)
def _settings(text: str) -> tuple[SpaceGroup, ...]:
    """Settings that a symbol can mean; none where it is not known.

    Written are also P2_1/c, P 2(1)/c, and ICSD's letters behind the symbol: S and Z for the first and second origin,
    H and R for the axes. A monoclinic symbol without ones leaves the unique axis to the cell.
    """
    from gemmi import find_spacegroup_by_name

    name, qualifier = _split_qualifier(re.sub(r"[_()]", "", text))
    named = find_spacegroup_by_name(name)
    if named is None:
        return ()
    settings = [e for e in _table() if e.hm == named.hm]
    several = len(settings) > 1  # a letter behind a symbol of one setting adds nothing
    entries = [e for e in settings if qualifier is None or e.ext == qualifier or not several]
    if 3 <= named.number <= 15 and " 1" not in re.sub(r"\s+", " ", name):
        short = _without_ones(named.hm)
        entries += [
            e for e in _table() if e.number == named.number and e not in entries and _without_ones(e.hm) == short
        ]
    return tuple(entries)


def _split_qualifier(text: str) -> tuple[str, str | None]:
    match = re.fullmatch(r"(.+?)\s*:\s*([12HhRr])\w*", text)
    if match is not None:
        return match[1], match[2].upper()
    match = re.fullmatch(r"(.{2,}?)\s*([SsZzHhRr])", text)
    if match is not None:
        letter = match[2].upper()
        return match[1], {"S": "1", "Z": "2"}.get(letter, letter)
    return text, None


def _without_ones(symbol: str) -> str:
    return "".join(part for part in symbol.split() if part != "1")


def _by_number(number: int) -> tuple[SpaceGroup, ...]:
    """The standard setting of a number, in both origins or axes where there are two."""
    first = next(e for e in _table() if e.number == number)
    return tuple(e for e in _table() if e.number == number and e.hm == first.hm)


def _common(known: list[tuple[str, tuple[SpaceGroup, ...]]]) -> list[SpaceGroup]:
    """Settings that all symbols of the file can mean."""
    entries = [e for e in known[0][1] if all(e in others for _, others in known[1:])]
    if not entries:
        raise UnreadableError(f"the symbols {' and '.join(text for text, _ in known)} contradict each other")
    return entries


def _check_numbers(settings: list[tuple[str, tuple[SpaceGroup, ...]]], number: int | None) -> None:
    for text, entries in settings:
        if number is not None and entries and all(e.number != number for e in entries):
            raise UnreadableError(f"space group {text!r} is number {entries[0].number}, the file says {number}")


def _check_explicit(
    explicit: Group,
    halls: list[Group | None],
    settings: list[tuple[str, tuple[SpaceGroup, ...]]],
    number: int | None,
) -> None:
    """What else the file says must fit the operations."""
    code = explicit.code
    for hall in halls:
        if hall is not None and hall.code != code:
            raise UnreadableError(f"{hall.name} and the {explicit.name} contradict each other")
    for text, entries in settings:
        if entries and not any(_same_setting(explicit, _from_entry(e)) for e in entries):
            raise UnreadableError(f"space group {text!r} and the {explicit.name} contradict each other")
    if (
        number is not None
        and not any(entries for _, entries in settings)
        and type_number(explicit) not in (None, number)
    ):
        raise UnreadableError(
            f"the {explicit.name} are those of number {type_number(explicit)}, the file says {number}"
        )


def _same_setting(a: Group, b: Group) -> bool:
    """Whether two groups are equal, or differ by the origin alone (some programs take one that no table lists)."""
    if a.code == b.code:
        return True
    if len(a.rotations) != len(b.rotations):
        return False
    by_rotation: dict[bytes, list[NDArray[np.float64]]] = {}
    for rotation, translation in zip(b.rotations, b.translations, strict=True):
        by_rotation.setdefault(rotation.tobytes(), []).append(translation)
    steps = np.arange(TWENTY_FOURTHS) / TWENTY_FOURTHS
    origins = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    for rotation, translation in zip(a.rotations, a.translations, strict=True):
        targets = np.array(by_rotation.get(rotation.tobytes(), np.zeros((0, 3))))
        if len(targets) == 0:
            return False
        moved = translation + origins @ (np.eye(3) - rotation).T  # (P, 3)
        away = moved[:, None] - targets[None]
        away -= np.rint(away)
        origins = origins[(np.abs(away) < 1e-6).all(axis=-1).any(axis=1)]
        if len(origins) == 0:
            return False
    return True


def type_number(group: Group) -> int | None:
    """The space-group number of some operations, in whatever setting."""
    import spglib

    try:
        kind = spglib.get_spacegroup_type_from_symmetry(group.rotations, group.translations)
    except (ValueError, RuntimeError, spglib.SpglibError):
        return None
    return None if kind is None else int(kind.number)
