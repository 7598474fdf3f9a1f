"""Degrees of freedom as tokens of the fill network: orbits, then one binned value after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dao_core.generate.symmetry.description import (
    B_OVER_A,
    C_OVER_A,
    COORDINATE,
    COS_ALPHA,
    COS_BETA,
    COS_GAMMA,
    N_KINDS,
    VOLUME,
    degrees_of_freedom,
)
from dao_core.generate.symmetry.labels import Label
from dao_core.generate.symmetry.wyckoff_tables import LETTERS, multiplicities, position_ids

PADDING, ORBIT, WHOLE, FREEDOM = range(4)
NO_KIND = N_KINDS  # of padding, and before the first value
MOST_REPEATS, MOST_ELEMENTS, MOST_ATOMS = 15, 7, 63  # beyond, embeddings are shared
COORDINATE_BINS = 72
# lowest and highest value and number of bins; 0.1 % of MP-20's training structures lie outside
RANGES = {
    B_OVER_A: (-2.4, 3.4, 128), C_OVER_A: (-2.4, 3.4, 128), COS_ALPHA: (-0.9, 0.6, 64), COS_BETA: (-0.9, 0.6, 64),
    COS_GAMMA: (-0.9, 0.6, 64), VOLUME: (-0.8, 0.8, 64),
}  # fmt: skip
SPREAD = 0.75  # bins over which a target is spread


def n_bins(kind: int) -> int:
    """Bins of a degree of freedom; coordinates are periodic."""
    return COORDINATE_BINS if kind >= COORDINATE else RANGES[kind][2]


def soft_targets(kind: int, values: Tensor) -> Tensor:
    """Values as Gaussian weights over the bins, periodic for coordinates.

    Args:
        kind: Of the degree of freedom.
        values: (R,).

    Returns:
        (R, n).
    """
    n = n_bins(kind)
    if kind >= COORDINATE:
        away = values[:, None] * n - torch.arange(n)
        away = away - n * torch.round(away / n)
    else:
        low, high, _ = RANGES[kind]
        place = ((values - low) / (high - low) * n - 0.5).clamp(0, n - 1)
        away = place[:, None] - torch.arange(n)
    return torch.softmax(-(away**2) / (2 * SPREAD**2), dim=-1)


@dataclass(frozen=True, eq=False)
class EncodedFill:
    """A label as the fill network sees it, with values where they are known.

    `orbits` (n, 6): element, position, rank among equal orbits, multiplicity, the element's atoms, the element's place.
    `kinds`, `owners` (d,): what each degree of freedom is and whose (-1: the cell's); `values` (d,). `canonical`: the
    values are those of the unique description, not of an equivalent one.
    """

    spacegroup_number: int
    orbits: NDArray[np.int64]
    kinds: NDArray[np.int64]
    owners: NDArray[np.int64]
    values: NDArray[np.float32]
    canonical: bool = True

    @property
    def length(self) -> int:
        """Tokens of the row."""
        return len(self.orbits) + 1 + len(self.kinds)

    def head(self, values: Sequence[float]) -> EncodedFill:
        """Up to the degree of freedom that follows the given values."""
        n = len(values) + 1
        known = np.array([*values, 0.0], dtype=np.float32)
        return EncodedFill(self.spacegroup_number, self.orbits, self.kinds[:n], self.owners[:n], known)


def encode_fill(label: Label, values: Sequence[float] | NDArray[np.float64] | None = None) -> EncodedFill:
    """Tokens of a label, with its degrees of freedom where they are given.

    Args:
        label: What is filled.
        values: As `values_of` gives them; None leaves them open.

    Returns:
        The tokens.
    """
    number = label.spacegroup_number
    sizes, ids = multiplicities()[number], position_ids()[number]
    counts = dict(zip(label.elements, label.counts, strict=True))
    seen: Counter[tuple[int, str]] = Counter()
    rows = []
    for z, letter in label.orbits:
        k = LETTERS.index(letter)
        rank = min(seen[z, letter], MOST_REPEATS)
        rows.append((z, ids[k], rank, sizes[k], counts[z], label.elements.index(z)))
        seen[z, letter] += 1
    freedoms = degrees_of_freedom(label)
    known = np.zeros(len(freedoms)) if values is None else np.asarray(values)
    return EncodedFill(
        number, np.array(rows, dtype=np.int64), np.array([f.kind for f in freedoms]),
        np.array([f.orbit for f in freedoms]), known.astype(np.float32),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class FillBatch:
    """Padded rows. Orbits (B, O): `orbit_fields` (B, O, 6); tokens (B, T): `kind` of token, `source` orbit of an orbit
    token, `freedom`, `owner` and `target` of a degree of freedom, and the same of the one before it; index O: none.
    Rows (B,): `canonical` description or an equivalent one, `group`, length of the `prefix`.
    """

    orbit_fields: Tensor
    kind: Tensor
    source: Tensor
    freedom: Tensor
    owner: Tensor
    target: Tensor
    before_freedom: Tensor
    before_owner: Tensor
    before_value: Tensor
    canonical: Tensor
    group: Tensor
    prefix: Tensor

    @classmethod
    def of(cls, rows: Sequence[EncodedFill]) -> FillBatch:
        """Stack rows, padded to the longest."""
        size, most = (len(rows), max(r.length for r in rows)), max(len(r.orbits) for r in rows)
        fields = np.zeros((len(rows), most, 6), dtype=np.int64)
        kind = np.zeros(size, dtype=np.int64)
        source, owner, before_owner = (np.full(size, most, dtype=np.int64) for _ in range(3))
        freedom, before_freedom = (np.full(size, NO_KIND, dtype=np.int64) for _ in range(2))
        target, before_value = (np.zeros(size, dtype=np.float32) for _ in range(2))
        for i, row in enumerate(rows):
            n, d = len(row.orbits), len(row.kinds)
            fields[i, :n] = row.orbits
            kind[i, :n], kind[i, n], kind[i, n + 1 : n + 1 + d] = ORBIT, WHOLE, FREEDOM
            source[i, :n] = np.arange(n)
            own = np.where(row.owners < 0, most, row.owners)
            here, after = slice(n + 1, n + 1 + d), slice(n + 2, n + 1 + d)
            freedom[i, here], owner[i, here], target[i, here] = row.kinds, own, row.values
            before_freedom[i, after], before_owner[i, after] = row.kinds[:-1], own[:-1]
            before_value[i, after] = row.values[:-1]
        arrays = {
            "orbit_fields": fields, "kind": kind, "source": source, "freedom": freedom, "owner": owner,
            "target": target, "before_freedom": before_freedom, "before_owner": before_owner,
            "before_value": before_value,
        }  # fmt: skip
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        groups = torch.tensor([r.spacegroup_number for r in rows])
        canonical = torch.tensor([r.canonical for r in rows])
        return cls(**tensors, canonical=canonical, group=groups, prefix=torch.tensor([len(r.orbits) + 1 for r in rows]))
