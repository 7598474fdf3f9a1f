"""Training data as flat packed arrays, and batches of similar size drawn from them in a reproducible order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from dao_core.crystal import Crystal, CrystalBatch


@dataclass
class PackedCrystals:
    """Many structures without padding: row i owns atoms pointer[i]:pointer[i + 1].

    `labels` holds one float per structure (NaN: not known), `atom_labels` three per atom, `cell_labels` nine per
    structure.
    """

    lattice: NDArray[np.float32]  # (M, 3, 3)
    frac_coords: NDArray[np.float32]  # (A, 3)
    atomic_numbers: NDArray[np.uint8]  # (A,)
    pointer: NDArray[np.int64]  # (M + 1,)
    labels: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    atom_labels: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    cell_labels: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lattice)

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """Atoms of each row, (M,)."""
        return np.diff(self.pointer)

    @classmethod
    def from_crystals(cls, crystals: Sequence[Crystal], **labels: Sequence[float]) -> PackedCrystals:
        """Pack structures.

        Args:
            crystals: Structures.
            **labels: One number a structure, by the name of the label.

        Returns:
            The packed set.
        """
        sizes = [c.n_atoms for c in crystals]
        return cls(
            np.stack([c.lattice for c in crystals]).astype(np.float32),
            np.concatenate([c.frac_coords for c in crystals]).astype(np.float32),
            np.concatenate([c.atomic_numbers for c in crystals]).astype(np.uint8),
            np.concatenate([[0], np.cumsum(sizes)]),
            {name: np.asarray(values, dtype=np.float32) for name, values in labels.items()},
        )

    def crystal(self, row: int) -> Crystal:
        """One row as a `Crystal`."""
        a, b = self.pointer[row], self.pointer[row + 1]
        return Crystal(
            self.lattice[row].astype(np.float64),
            self.frac_coords[a:b].astype(np.float64),
            self.atomic_numbers[a:b].astype(np.int64),
        )

    def take(self, rows: NDArray[np.int64]) -> PackedCrystals:
        """The given rows, in that order, as a set of its own.

        Args:
            rows: Row numbers.
        """
        sizes = self.n_atoms[rows]
        pointer = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        atoms = np.repeat(self.pointer[rows] - pointer[:-1], sizes) + np.arange(pointer[-1])
        return PackedCrystals(
            self.lattice[rows],
            self.frac_coords[atoms],
            self.atomic_numbers[atoms],
            pointer,
            {k: v[rows] for k, v in self.labels.items()},
            {k: v[atoms] for k, v in self.atom_labels.items()},
            {k: v[rows] for k, v in self.cell_labels.items()},
        )

    def gather(self, rows: NDArray[np.int64]) -> Batch:
        """The padded batch of some rows.

        Args:
            rows: Row numbers.

        Returns:
            Structures and labels as tensors.
        """
        sizes = self.n_atoms[rows]
        b, n = len(rows), int(sizes.max())
        column = np.arange(n)
        mask = column < sizes[:, None]
        source = np.where(mask, self.pointer[rows][:, None] + column, 0)
        numbers = np.where(mask, self.atomic_numbers[source], 0).astype(np.int64)

        def per_atom(values: NDArray[np.float32]) -> Tensor:
            return torch.from_numpy(np.where(mask[..., None], values[source], 0.0).astype(np.float32))

        crystals = CrystalBatch(
            torch.from_numpy(self.lattice[rows]), per_atom(self.frac_coords), torch.from_numpy(numbers)
        )
        labels = {k: torch.from_numpy(v[rows]) for k, v in self.labels.items()}
        labels |= {k: per_atom(v) for k, v in self.atom_labels.items()}
        labels |= {k: torch.from_numpy(v[rows]).view(b, 3, 3) for k, v in self.cell_labels.items()}
        return Batch(crystals, labels, torch.from_numpy(np.asarray(rows)))

    @classmethod
    def concatenate(cls, parts: Sequence[PackedCrystals]) -> PackedCrystals:
        """All rows of several sets with the same labels, in order.

        Args:
            parts: The sets.
        """
        sizes = np.concatenate([p.n_atoms for p in parts])

        def join(kind: str) -> dict[str, NDArray[np.float32]]:
            return {name: np.concatenate([getattr(p, kind)[name] for p in parts]) for name in getattr(parts[0], kind)}

        return cls(
            np.concatenate([p.lattice for p in parts]),
            np.concatenate([p.frac_coords for p in parts]),
            np.concatenate([p.atomic_numbers for p in parts]),
            np.concatenate([[0], np.cumsum(sizes)]),
            join("labels"),
            join("atom_labels"),
            join("cell_labels"),
        )

    def _arrays(self) -> dict[str, Any]:
        """All arrays by the names under which they are saved."""
        arrays = {name: getattr(self, name) for name in ("lattice", "frac_coords", "atomic_numbers", "pointer")}
        for kind in ("labels", "atom_labels", "cell_labels"):
            arrays |= {f"{kind}.{name}": values for name, values in getattr(self, kind).items()}
        return arrays

    def content_hash(self) -> str:
        """The same for sets of the same rows and labels in the same order."""
        digest = hashlib.sha256()
        for name, values in sorted(self._arrays().items()):
            digest.update(f"{name} {values.dtype} {values.shape} ".encode() + np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:20]

    def save(self, path: Path) -> None:
        """Write as one uncompressed npz file (memory-mappable arrays, no pickle)."""
        np.savez(path, **self._arrays())

    @classmethod
    def load(cls, path: Path) -> PackedCrystals:
        """Read what `save` wrote.

        Args:
            path: The npz file.
        """
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
        kinds: dict[str, dict[str, NDArray[np.float32]]] = {"labels": {}, "atom_labels": {}, "cell_labels": {}}
        for name in [n for n in arrays if "." in n]:
            kind, label = name.split(".", 1)
            kinds[kind][label] = arrays.pop(name)
        return cls(
            arrays["lattice"],
            arrays["frac_coords"],
            arrays["atomic_numbers"],
            arrays["pointer"],
            **kinds,
        )


@dataclass
class Batch:
    """A padded batch with its labels: (B,) per structure, (B, N, 3) per atom, (B, 3, 3) per cell; `rows` (B,)."""

    crystals: CrystalBatch
    labels: dict[str, Tensor]
    rows: Tensor

    def to(self, device: torch.device) -> Batch:
        """Structures and labels on a device; `rows` stay on the CPU, where they index the packed set."""
        return Batch(self.crystals.to(device), {k: v.to(device) for k, v in self.labels.items()}, self.rows)


class SizedBatches(IterableDataset[Batch]):
    """Endless stream of batches of similar size, a pure function of (seed, step): a resumed run sees the same batches.

    An epoch is a random order, cut into pools that are sorted by size and cut into batches of at most `batch_size`
    structures and `max_pairs` atom pairs; the batches then come in random order. `rank` of `world` takes one batch in
    `world`.
    """

    def __init__(
        self, data: PackedCrystals, *, batch_size: int, seed: int, max_pairs: int = 40_000, start: int = 0
    ) -> None:
        self.data, self.batch_size, self.seed, self.max_pairs = data, batch_size, seed, max_pairs
        self.start = start
        self.rank, self.world = 0, 1

    def epoch(self, number: int) -> list[NDArray[np.int64]]:
        """The batches of an epoch.

        Args:
            number: Of the epoch.

        Returns:
            Row numbers of each batch.
        """
        rng = np.random.default_rng([self.seed, number])
        order = rng.permutation(len(self.data))
        sizes = self.data.n_atoms
        batches: list[NDArray[np.int64]] = []
        pool = 50 * self.batch_size
        for begin in range(0, len(order), pool):
            rows = order[begin : begin + pool]
            rows = rows[np.argsort(sizes[rows], kind="stable")]
            while len(rows):
                take = min(self.batch_size, len(rows))
                while take > 1 and take * int(sizes[rows[take - 1]]) ** 2 > self.max_pairs:
                    take = max(1, min(take - 1, self.max_pairs // int(sizes[rows[take - 1]]) ** 2))
                batches.append(rows[:take])
                rows = rows[take:]
        return [batches[i] for i in rng.permutation(len(batches))]

    def __iter__(self) -> Iterator[Batch]:
        step, number = 0, 0
        while True:
            batches = self.epoch(number)
            if step + len(batches) > self.start * self.world:
                for rows in batches:
                    if step >= self.start * self.world and step % self.world == self.rank:
                        yield self.data.gather(rows)
                    step += 1
            else:
                step += len(batches)
            number += 1
