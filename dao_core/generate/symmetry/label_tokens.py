"""Symmetry labels as tokens, and which letters may come next: the exact rules that the label network never breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import reduce
from math import gcd

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dao_core.generate.symmetry.labels import Label, canonical_letters
from dao_core.generate.symmetry.wyckoff_tables import (
    LETTERS,
    MAX_COUNT,
    N_LETTERS,
    multiplicities,
    position_ids,
    reachable,
    repeatable,
)

PADDING, ELEMENT, START, GROUP, LETTER = range(5)
FIELDS = ("kind", "element", "count", "place", "group", "position")  # of one token; the start token's place: its source
MAX_ELEMENTS = 10
Token = tuple[int, int, int, int, int, int]


class Source(IntEnum):
    """Where a training structure comes from: the same composition has other labels near the hull than far above it."""

    NEAR_HULL = 0  # Materials Project, within 0.08 eV/atom of the hull or a large cell of unknown energy
    MATERIALS_PROJECT = 1  # its other structures
    EXPERIMENT = 2  # ICSD, through OQMD


class UnlabelledCompositionError(ValueError):
    """A composition outside what labels can hold."""


@dataclass(frozen=True)
class PartialLabel:
    """A label under construction: what is decided, and what may follow.

    `tokens` are the network's input so far; `letters` index the alphabet; `remaining` atoms of the current element are
    still to be placed; `last` is its latest letter (-1: none); `used` (27,) the letters that some orbit occupies.
    """

    elements: tuple[int, ...]
    counts: tuple[int, ...]
    tokens: tuple[Token, ...]
    spacegroup_number: int = 0
    letters: tuple[tuple[int, ...], ...] = ()
    remaining: int = 0
    last: int = -1
    used: tuple[bool, ...] = (False,) * N_LETTERS

    @classmethod
    def start(
        cls, elements: tuple[int, ...], counts: tuple[int, ...], source: Source = Source.NEAR_HULL
    ) -> PartialLabel:
        """Nothing decided yet.

        Args:
            elements: Atomic numbers.
            counts: Atoms of each in the primitive cell.
            source: Of what kind of structure the label is asked.

        Returns:
            The label to be filled.

        Raises:
            UnlabelledCompositionError: The composition lies beyond the tables' limits.
        """
        if len(elements) > MAX_ELEMENTS or max(counts) > MAX_COUNT:
            raise UnlabelledCompositionError(
                f"symmetry labels hold up to {MAX_ELEMENTS} elements with up to {MAX_COUNT} atoms each"
            )
        tokens = [(ELEMENT, z, n, place, 0, 0) for place, (z, n) in enumerate(zip(elements, counts, strict=True))]
        return cls(elements, counts, (*tokens, (START, 0, 0, int(source), 0, 0)))

    @property
    def complete(self) -> bool:
        """Whether all atoms are placed."""
        return len(self.letters) == len(self.elements) and self.remaining == 0

    def allowed_groups(self) -> NDArray[np.bool_]:
        """Space groups whose multiplicities add up to each element's count, (231,)."""
        return np.asarray(reachable()[:, 0, list(self.counts)].all(1))

    def allowed_letters(self) -> NDArray[np.bool_]:
        """Letters that may hold the current element's next orbit, (27,)."""
        number = self.spacegroup_number
        sizes, free = multiplicities()[number], repeatable()[number]
        index = np.arange(N_LETTERS)
        left = np.maximum(self.remaining - sizes, 0)
        completes = reachable()[number, np.where(free, index, index + 1), left]
        taken = np.array(self.used) & ~free
        return np.asarray((sizes <= self.remaining) & (index >= self.last) & ~taken & completes)

    def with_group(self, number: int) -> PartialLabel:
        """The space group decided."""
        token = (GROUP, self.elements[0], self.counts[0], 0, number, 0)
        return replace(
            self, tokens=(*self.tokens, token), spacegroup_number=number, letters=((),), remaining=self.counts[0]
        )

    def with_letter(self, letter: int) -> PartialLabel:
        """One more orbit decided; the next element's turn comes when this one's atoms are placed."""
        number, place = self.spacegroup_number, len(self.letters) - 1
        letters = (*self.letters[:-1], (*self.letters[-1], letter))
        remaining = self.remaining - int(multiplicities()[number, letter])
        used = tuple(u or i == letter for i, u in enumerate(self.used))
        last = letter
        if remaining == 0 and place + 1 < len(self.elements):
            place, last = place + 1, -1
            letters, remaining = (*letters, ()), self.counts[place]
        token = (LETTER, self.elements[place], remaining, place, number, int(position_ids()[number, letter]))
        return replace(self, tokens=(*self.tokens, token), letters=letters, remaining=remaining, last=last, used=used)

    def label(self) -> Label:
        """The finished label in its canonical letters."""
        names = tuple("".join(LETTERS[i] for i in group) for group in self.letters)
        return Label(self.spacegroup_number, self.elements, canonical_letters(self.spacegroup_number, names))


@dataclass(frozen=True, eq=False)
class EncodedLabel:
    """A finished label as the network learns it.

    `tokens` (T, 6) in the order of FIELDS; `prefix` counts elements and start token; `groups` (231,) and `masks`
    (L, 27) what was allowed; `group` and `letters` (L,) what was right. Token prefix + i predicts letter i.
    """

    tokens: NDArray[np.int64]
    prefix: int
    group: int
    letters: NDArray[np.int64]
    groups: NDArray[np.bool_]
    masks: NDArray[np.bool_]


def encode_label(label: Label, source: Source = Source.NEAR_HULL) -> EncodedLabel:
    """Tokens, masks and targets. Raises UnlabelledCompositionError beyond the tables' limits."""
    state = PartialLabel.start(label.elements, label.counts, source)
    groups, prefix = state.allowed_groups(), len(state.tokens)
    state = state.with_group(label.spacegroup_number)
    masks, letters = [], [LETTERS.index(x) for _, x in label.orbits]
    for letter in letters:
        masks.append(state.allowed_letters())
        state = state.with_letter(letter)
    tokens = np.array(state.tokens[:-1], dtype=np.int64)  # nothing follows the last letter
    return EncodedLabel(tokens, prefix, label.spacegroup_number, np.array(letters), groups, np.array(masks))


@dataclass(frozen=True, eq=False)
class LabelBatch:
    """Padded token sequences: each field (B, T); `prefix`, `total` atoms and formula `units` (B,)."""

    kind: Tensor
    element: Tensor
    count: Tensor
    place: Tensor
    group: Tensor
    position: Tensor
    prefix: Tensor
    total: Tensor
    units: Tensor

    @classmethod
    def of(cls, rows: Sequence[NDArray[np.int64]], prefixes: Sequence[int]) -> LabelBatch:
        """Stack token arrays (T, 6)."""
        padded = np.zeros((len(rows), max(map(len, rows)), len(FIELDS)), dtype=np.int64)
        totals, units = [], []
        for i, (row, prefix) in enumerate(zip(rows, prefixes, strict=True)):
            padded[i, : len(row)] = row
            counts = row[: prefix - 1, FIELDS.index("count")].tolist()
            totals.append(sum(counts))
            units.append(reduce(gcd, counts))
        fields = {name: torch.from_numpy(padded[:, :, k]) for k, name in enumerate(FIELDS)}
        return cls(**fields, prefix=torch.tensor(prefixes), total=torch.tensor(totals), units=torch.tensor(units))
