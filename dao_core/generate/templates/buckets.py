"""Entries of one anonymous formula, grouped into prototypes whose sites are in a common order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dao_core.matching.fingerprint import (
    Slots,
    fingerprint_distance,
    permute_fingerprint,
    slot_permutations,
)

PROTOTYPE_DISTANCE = 0.04  # fingerprints of one prototype key closer than this are one prototype (94 % of them match)
ALIGNMENTS = 120  # class orders tried when an entry is laid on its prototype


@dataclass
class Bucket:
    """Entries with the same counts of species classes, sorted by prototype.

    `members` (n,) rows of the index, `prototypes` (n,) ascending from 0, `elements` (n, S) atomic numbers by slot,
    `fingerprints` (n, S, S, K) by slot. Slot j means the same sites in all entries of one prototype.
    """

    counts: tuple[int, ...]
    members: NDArray[np.int64]
    prototypes: NDArray[np.int64]
    elements: NDArray[np.int64]
    fingerprints: NDArray[np.float32]
    keys: list[str]  # one per prototype

    @property
    def starts(self) -> NDArray[np.int64]:
        """First row of each prototype."""
        return np.flatnonzero(np.diff(self.prototypes, prepend=-1))

    def slot_occupants(self) -> Iterator[NDArray[np.int64]]:
        """Atomic numbers that occupy each slot of each prototype with more than one entry."""
        for rows in np.split(self.elements, self.starts[1:]):
            if len(rows) > 1:
                yield from rows.T


@dataclass
class BucketBuilder:
    """Collects entries, then sorts them into prototypes."""

    counts: tuple[int, ...]
    by_key: dict[str, list[tuple[int, NDArray[np.int64], NDArray[np.float32]]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(self, member: int, key: str, order: NDArray[np.int64], slots: Slots, prints: NDArray[np.float32]) -> None:
        """Add one entry.

        Args:
            member: Its row in the index.
            key: Prototype key.
            order: Brings its classes into the order of the key, (S,).
            slots: Species classes.
            prints: Fingerprint, (S, S, K).
        """
        self.by_key[key].append((member, slots.elements[order], prints[np.ix_(order, order)]))

    def finish(self) -> Bucket:
        """Greedy leader clustering inside each prototype key; every entry is reordered to its leader's slots."""
        perms = slot_permutations(self.counts, ALIGNMENTS)
        rows: list[tuple[int, int, NDArray[np.int64], NDArray[np.float32]]] = []
        keys: list[str] = []
        for key, entries in self.by_key.items():
            leaders = np.empty((len(entries), *entries[0][2].shape), dtype=np.float32)
            first = len(keys)
            for member, elements, prints in entries:
                n_leaders = len(keys) - first
                turned = permute_fingerprint(prints, perms)  # (P, S, S, K)
                distances = fingerprint_distance(turned[:, None], leaders[None, :n_leaders])  # (P, leaders)
                if n_leaders and distances.min() < PROTOTYPE_DISTANCE:
                    best, leader = np.unravel_index(distances.argmin(), distances.shape)
                    rows.append((first + int(leader), member, elements[perms[best]], turned[best]))
                else:
                    leaders[n_leaders] = prints
                    rows.append((len(keys), member, elements, prints))
                    keys.append(key)
        rows.sort(key=lambda row: row[:2])
        return Bucket(
            self.counts,
            np.array([r[1] for r in rows]),
            np.array([r[0] for r in rows]),
            np.stack([r[2] for r in rows]),
            np.stack([r[3] for r in rows]),
            keys,
        )
