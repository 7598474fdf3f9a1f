"""A template index on disk: arrays in `index.npz`, names and provenance in `index.json`."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from dao_core.artifacts import file_sha256, write_atomic
from dao_core.crystal import Crystal
from dao_core.generate.templates.buckets import Bucket
from dao_core.generate.templates.index import TemplateIndex, TemplateIndexError
from dao_core.generate.templates.ranker import Ranker

FORMAT = 1


class StoredArrays:
    """Arrays of a file, each read when it is asked for: a query touches few of thousands."""

    def __init__(self, path: Path) -> None:
        """Take the file."""
        self._path = path
        self._open: Any = None

    def __getitem__(self, name: str) -> NDArray[Any]:
        if self._open is None:
            self._open = np.load(self._path, allow_pickle=False)
        found: NDArray[Any] = self._open[name]
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Without the open file, so that an index can travel to another process."""
        return {**self.__dict__, "_open": None}


class StoredCrystals(Sequence[Crystal]):
    """The structures of an index, each made when it is asked for: checking all of them would take a second."""

    def __init__(
        self,
        lattice: NDArray[np.float64],
        frac_coords: NDArray[np.float64],
        atomic_numbers: NDArray[np.int16],
        ends: NDArray[np.int64],
    ) -> None:
        """Take lattices (n, 3, 3), everyone's coordinates and atomic numbers, and where each structure ends (n,)."""
        self._lattice, self._frac, self._numbers = lattice, frac_coords, atomic_numbers
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> Crystal: ...
    @overload
    def __getitem__(self, index: slice) -> list[Crystal]: ...
    def __getitem__(self, index: int | slice) -> Crystal | list[Crystal]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]  # as a list: negative ones count from the end, others raise IndexError
        rows = slice(int(self._ends[i - 1]) if i else 0, int(self._ends[i]))
        return Crystal(self._lattice[i], self._frac[rows], self._numbers[rows].astype(np.int64))


class StoredBuckets(Mapping[tuple[int, ...], Bucket]):
    """The buckets of an index, each made when it is asked for and kept."""

    def __init__(self, arrays: StoredArrays, described: Sequence[tuple[tuple[int, ...], list[str]]]) -> None:
        """Take the arrays, and of each bucket its counts and keys in the order of the file."""
        self._arrays = arrays
        self._described = {counts: (i, keys) for i, (counts, keys) in enumerate(described)}
        self._made: dict[tuple[int, ...], Bucket] = {}

    def __len__(self) -> int:
        return len(self._described)

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        return iter(self._described)

    def __getitem__(self, counts: tuple[int, ...]) -> Bucket:
        if counts not in self._made:
            i, keys = self._described[counts]
            read = self._arrays
            self._made[counts] = Bucket(
                counts,
                read[f"members_{i}"],
                read[f"prototypes_{i}"],
                read[f"elements_{i}"].astype(np.int64),
                read[f"fingerprints_{i}"].astype(np.float32),
                keys,
            )
        return self._made[counts]


def save_index(index: TemplateIndex, directory: str | Path) -> None:
    """Write both files atomically, the description last (it carries the hash of the arrays)."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        "n_atoms": np.array([c.n_atoms for c in index.crystals]),
        "lattice": np.stack([c.lattice for c in index.crystals]),
        "frac_coords": np.concatenate([c.frac_coords for c in index.crystals]),
        "atomic_numbers": np.concatenate([c.atomic_numbers for c in index.crystals]).astype(np.int16),
        "spacegroups": index.spacegroups,
        "log_odds": index.log_odds,
        "atomic_volumes": index.atomic_volumes,
    }
    for i, bucket in enumerate(index.buckets.values()):
        arrays |= {
            f"members_{i}": bucket.members,
            f"prototypes_{i}": bucket.prototypes,
            f"elements_{i}": bucket.elements.astype(np.int16),
            f"fingerprints_{i}": bucket.fingerprints.astype(np.float16),
        }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomic(directory / "index.npz", buffer.getvalue())
    description = {
        "format": FORMAT,
        "source": index.source,
        "n_templates": len(index),
        "sha256": file_sha256(directory / "index.npz"),
        "ids": index.ids,
        "keys": index.keys,
        "buckets": [[list(counts), bucket.keys] for counts, bucket in index.buckets.items()],
        "ranker": json.loads(index.ranker.to_json()),
    }
    write_atomic(directory / "index.json", json.dumps(description))


def load_index(directory: str | Path) -> TemplateIndex:
    """Read what `save_index` wrote, checking version and hash."""
    directory = Path(directory)
    try:
        description = json.loads((directory / "index.json").read_text())
        if description["format"] != FORMAT:
            raise TemplateIndexError(f"{directory}: format {description['format']} is not {FORMAT}; build it again")
        if file_sha256(directory / "index.npz") != description["sha256"]:
            raise TemplateIndexError(f"{directory / 'index.npz'} is damaged (hash differs): build the index again")
        arrays = StoredArrays(directory / "index.npz")
        ends = np.cumsum(arrays["n_atoms"])
        crystals = StoredCrystals(arrays["lattice"], arrays["frac_coords"], arrays["atomic_numbers"], ends)
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise TemplateIndexError(f"no readable template index in {directory} ({error}): build it again") from error
    try:
        ranker = Ranker.from_json(json.dumps(description["ranker"]))
    except (ValueError, KeyError) as error:
        raise TemplateIndexError(
            f"the template index in {directory} has no usable order ({error}): build it again"
        ) from error
    buckets = StoredBuckets(arrays, [(tuple(counts), keys) for counts, keys in description["buckets"]])
    return TemplateIndex(
        description["ids"],
        crystals,
        arrays["spacegroups"],
        description["keys"],
        buckets,
        arrays["log_odds"],
        arrays["atomic_volumes"],
        ranker,
        description["source"],
    )
