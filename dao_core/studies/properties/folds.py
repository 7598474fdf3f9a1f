"""The fixed folds of the targets: training, validation and test rows that share no formula."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dao_core.studies.properties.settings import TARGETS
from dao_core.studies.study import StudyError
from dao_core.training.packed import PackedCrystals
from dao_core.training.property_data import PropertyRows, property_rows, read_property

if TYPE_CHECKING:
    import pandas as pd

FOLDS = ("train", "val", "test")
AFLOW, MP_LABELS, MP_STRUCTURES = "properties/aflow", "properties/mp_2018.parquet", "mp_20"
MP_FILES = {"train": "train", "val": "val", "test": "test_public"}


def fold_file(data: Path, target: str, fold: str) -> Path:
    """The file with the structures of a fold.

    Args:
        data: Folder of the development data.
        target: As in `TARGETS`.
        fold: As in `FOLDS`.
    """
    if TARGETS[target].source == "aflow":
        return data / AFLOW / f"{target}_{fold}.parquet"
    return data / MP_STRUCTURES / f"{MP_FILES[fold]}.parquet"


def read_folds(data: Path, target: str, max_atoms: int) -> dict[str, PropertyRows]:
    """The rows of a target by fold; those without a finite value, or without a needed logarithm, are counted.

    AFLOW's folds are those of its files. The labels of MP 2018 get the folds of MP-20, by id.

    Args:
        data: Folder of the development data.
        target: As in `TARGETS`.
        max_atoms: Larger cells are refused.

    Raises:
        PropertyError: A column is missing or nothing usable is left.
    """
    if TARGETS[target].source == "aflow":
        folds = {f: read_property(fold_file(data, target, f), target, max_atoms=max_atoms) for f in FOLDS}
    else:
        folds = {f: _mp_rows(data, target, f, max_atoms) for f in FOLDS}
    return {name: _positive(rows) if TARGETS[target].transform == "log" else rows for name, rows in folds.items()}


def _mp_rows(data: Path, target: str, fold: str, max_atoms: int) -> PropertyRows:
    import pandas as pd

    columns = ["material_id", "lattice", "frac_coords", "atomic_numbers"]
    structures = pd.read_parquet(fold_file(data, target, fold), columns=columns)
    labels: pd.DataFrame = pd.read_parquet(data / MP_LABELS, columns=["material_id", target])
    table = structures.merge(labels, on="material_id", validate="one_to_one")
    return property_rows(table, target, f"{MP_LABELS} ({fold})", max_atoms=max_atoms)


def _positive(rows: PropertyRows) -> PropertyRows:
    return _chosen(rows, np.flatnonzero(rows.labels > 0), "no logarithm")


def separated(folds: dict[str, PropertyRows]) -> dict[str, PropertyRows]:
    """Folds that share no formula: of what an earlier fold has, the later one loses its rows, with the count.

    Args:
        folds: In the order of `FOLDS`: the training rows stay whole, so a model that has learned from them before
            (DAO-P from MP-20's training split) has seen no formula of the test either.

    Raises:
        StudyError: A fold is left without rows.
    """
    seen: set[str] = set()
    out = {}
    for name, rows in folds.items():
        keep = np.flatnonzero([g not in seen for g in rows.groups])
        if len(keep) < 2:
            raise StudyError(f"{len(keep)} rows of the fold {name} have a formula of their own: give other folds")
        out[name] = _chosen(rows, keep, "formula of another fold")
        seen |= set(rows.groups)
    return out


def shortened(rows: PropertyRows, n: int, seed: int) -> PropertyRows:
    """At most n rows in a random order: the first of them are the same whatever n is.

    Args:
        rows: Of a fold.
        n: How many.
        seed: Of the order.
    """
    return _chosen(rows, np.random.default_rng(seed).permutation(len(rows.crystals))[:n], None)


def packed(rows: PropertyRows) -> PackedCrystals:
    """The rows with the label "value"."""
    return PackedCrystals.from_crystals(rows.crystals, value=rows.labels.tolist())


def _chosen(rows: PropertyRows, keep: np.ndarray, reason: str | None) -> PropertyRows:
    refused = Counter(rows.refused)
    if reason is not None and len(keep) < len(rows.crystals):
        refused[reason] += len(rows.crystals) - len(keep)
    return replace(
        rows, crystals=[rows.crystals[int(i)] for i in keep], labels=rows.labels[keep],
        groups=[rows.groups[int(i)] for i in keep], refused=dict(refused),
    )  # fmt: skip
