"""A template index on disk: arrays in `index.npz`, names and provenance in `index.json`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.artifacts import file_sha256, write_atomic
from dao_core.crystal import Crystal
from dao_core.generate.templates.buckets import Bucket
from dao_core.generate.templates.index import TemplateIndex, TemplateIndexError
from dao_core.generate.templates.ranker import Ranker

FORMAT = 1


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
        arrays = dict(np.load(directory / "index.npz", allow_pickle=False))
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise TemplateIndexError(f"no readable template index in {directory} ({error}): build it again") from error
    try:
        ranker = Ranker.from_json(json.dumps(description["ranker"]))
    except (ValueError, KeyError) as error:
        raise TemplateIndexError(
            f"the template index in {directory} has no usable order ({error}): build it again"
        ) from error
    ends = np.cumsum(arrays["n_atoms"])[:-1]
    frac = np.split(arrays["frac_coords"], ends)
    numbers = np.split(arrays["atomic_numbers"], ends)
    crystals = [Crystal(lat, f, z) for lat, f, z in zip(arrays["lattice"], frac, numbers, strict=True)]
    buckets = {}
    for i, (counts, keys) in enumerate(description["buckets"]):
        buckets[tuple(counts)] = Bucket(
            tuple(counts),
            arrays[f"members_{i}"],
            arrays[f"prototypes_{i}"],
            arrays[f"elements_{i}"].astype(np.int64),
            arrays[f"fingerprints_{i}"].astype(np.float32),
            keys,
        )
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
