"""Aligned template pairs (generate/seeding.py) as packed arrays for training the seeded flow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dao_core.generate.templates.training_pairs import seed_pairs, write_pairs
from dao_core.training.packed import PackedCrystals

if TYPE_CHECKING:
    from dao_core.crystal import Crystal

RANKS = (0, 1)  # a structure's two best templates
SHARD = 500  # structures


class SeedError(ValueError):
    """A folder without usable pairs."""


def build_pairs(ids: Sequence[str], crystals: Sequence[Crystal], n: int, folder: Path, seed: int = 0) -> int:
    """Retrieve the templates of random structures from all others, align them and write them down.

    About 30 ms a structure on one core; finished shards are kept, so that the same call goes on.

    Args:
        ids: Names of the structures.
        crystals: The structures.
        n: How many are asked for.
        folder: Where the shards go.
        seed: Of the choice.

    Returns:
        How many structures were asked for.
    """
    from dao_core.generate.templates.index import TemplateIndex

    chosen = np.random.default_rng(seed).permutation(len(ids))[:n]
    shards = [chosen[begin : begin + SHARD] for begin in range(0, len(chosen), SHARD)]
    folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(len(shards)) if not (folder / f"pairs-{i:05d}.parquet").exists()]
    if not missing:
        return len(chosen)
    index = TemplateIndex.build(zip(ids, crystals, strict=True), source="the training data itself, each left out once")
    for i in missing:
        pairs = list(seed_pairs(index, ((ids[row], crystals[row]) for row in shards[i]), RANKS))
        write_pairs(pairs, folder / f"pairs-{i:05d}.parquet")
        print(f"templates of {min((i + 1) * SHARD, len(chosen))} of {len(chosen)} structures retrieved", flush=True)
    return len(chosen)


def load_pairs(folder: Path, ids: Sequence[str]) -> tuple[PackedCrystals, Tensor]:
    """Matched pairs of a folder of Parquet files.

    Args:
        folder: Of `build_pairs`.
        ids: Names of the training rows.

    Returns:
        The templates, with the aligned target in `target_lattice` and `target_frac`, and a table (M, K) of template
        rows for each training row, repeated to fill and -1 where there is none.

    Raises:
        SeedError: Nothing matches.
    """
    import pyarrow.parquet as pq

    position = {material_id: i for i, material_id in enumerate(ids)}
    lists: list[list[int]] = [[] for _ in ids]
    lattice: list[NDArray[np.float64]] = []
    frac: list[NDArray[np.float64]] = []
    numbers: list[NDArray[np.int64]] = []
    target_lattice: list[NDArray[np.float64]] = []
    target_frac: list[NDArray[np.float64]] = []
    for path in sorted(folder.glob("*.parquet")):
        for row in pq.read_table(path, filters=[("matched", "=", True)]).to_pylist():
            if row["target_id"] not in position:
                continue
            lists[position[row["target_id"]]].append(len(lattice))
            lattice.append(np.reshape(row["template_lattice"], (3, 3)))
            frac.append(np.reshape(row["template_frac_coords"], (-1, 3)))
            numbers.append(np.asarray(row["atomic_numbers"]))
            target_lattice.append(np.reshape(row["target_lattice"], 9))
            target_frac.append(np.reshape(row["target_frac_coords"], (-1, 3)))
    if not lattice:
        raise SeedError(f"{folder} holds no matched pair of these structures: run generate/seeding.py on them first")
    pairs = PackedCrystals(
        np.stack(lattice).astype(np.float32),
        np.concatenate(frac).astype(np.float32),
        np.concatenate(numbers).astype(np.uint8),
        np.concatenate([[0], np.cumsum([len(z) for z in numbers])]),
        atom_labels={"target_frac": np.concatenate(target_frac).astype(np.float32)},
        cell_labels={"target_lattice": np.stack(target_lattice).astype(np.float32)},
    )
    width = max(map(len, lists))
    table = torch.full((len(ids), width), -1)
    for i, found in enumerate(lists):
        if found:
            table[i] = torch.tensor([found[k % len(found)] for k in range(width)])
    return pairs, table
