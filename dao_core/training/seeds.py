"""Aligned template pairs (`generate.templates.training_pairs`) as packed arrays for training the seeded flow."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
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
    position = {material_id: i for i, material_id in enumerate(ids)}
    rows = list(_matched_rows(folder, position))
    if not rows:
        raise SeedError(f"{folder} holds no matched pair of these structures: make them with `build_pairs` first")
    numbers = [np.asarray(row["atomic_numbers"]) for row in rows]
    target = np.concatenate([np.reshape(row["target_frac_coords"], (-1, 3)) for row in rows])
    pairs = PackedCrystals(
        np.stack([np.reshape(row["template_lattice"], (3, 3)) for row in rows]).astype(np.float32),
        np.concatenate([np.reshape(row["template_frac_coords"], (-1, 3)) for row in rows]).astype(np.float32),
        np.concatenate(numbers).astype(np.uint8),
        np.concatenate([[0], np.cumsum([len(z) for z in numbers])]),
        atom_labels={"target_frac": target.astype(np.float32)},
        cell_labels={"target_lattice": np.stack([row["target_lattice"] for row in rows]).astype(np.float32)},
    )
    choices: list[list[int]] = [[] for _ in ids]
    for i, row in enumerate(rows):
        choices[position[row["target_id"]]].append(i)
    return pairs, _filled(choices)


def _matched_rows(folder: Path, wanted: Container[str]) -> Iterator[dict[str, Any]]:
    """The rows of all files whose target was matched and is wanted."""
    import pyarrow.parquet as pq

    for path in sorted(folder.glob("*.parquet")):
        for row in pq.read_table(path, filters=[("matched", "=", True)]).to_pylist():
            if row["target_id"] in wanted:
                yield row


def _filled(choices: Sequence[Sequence[int]]) -> Tensor:
    """Lists of different lengths as a table, each repeated to fill its row, -1 where there is none."""
    width = max(map(len, choices))
    table = torch.full((len(choices), width), -1)
    for i, found in enumerate(choices):
        if found:
            table[i] = torch.tensor([found[k % len(found)] for k in range(width)])
    return table
