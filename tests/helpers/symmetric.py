"""Structures of many space groups made from a label and random degrees of freedom, and tiny symmetry networks."""

from __future__ import annotations

import numpy as np
import torch

from dao_core.crystal import Crystal
from dao_core.generate.symmetry.checkpoint import ElementFacts, SymmetryModel
from dao_core.generate.symmetry.description import COORDINATE, degrees_of_freedom, from_values, to_crystal
from dao_core.generate.symmetry.fill_network import FillNetwork
from dao_core.generate.symmetry.label_network import LabelNetwork
from dao_core.generate.symmetry.labels import Label, canonical_letters
from dao_core.generate.symmetry.transformer import SymmetryNetworkConfig

VOLUMES = np.full(101, 18.0)
TINY = SymmetryNetworkConfig(width=16, n_blocks=1, n_heads=2, dropout=0.0)
# all crystal systems, all centrings, polar and chiral groups, groups with several equivalent origins
LABELS = [
    (2, (11, 17), ("ai", "i")), (5, (22, 8), ("ac", "c")), (12, (31, 8), ("i", "ai")), (14, (14, 8), ("e", "ae")),
    (15, (29, 8), ("a", "ef")), (19, (30, 16), ("a", "aa")), (36, (33, 8), ("a", "ab")), (43, (30, 16), ("a", "ab")),
    (62, (39, 26, 8), ("c", "b", "cd")), (63, (56, 14), ("c", "cf")), (69, (28, 9), ("a", "gl")),
    (74, (28, 8), ("e", "bh")), (87, (42, 8), ("a", "bh")), (99, (56, 22, 8), ("a", "b", "bc")),
    (139, (56, 26, 33), ("a", "d", "e")), (146, (50, 8), ("a", "ab")), (148, (28, 17), ("c", "f")),
    (166, (83, 52), ("c", "ac")), (167, (13, 8), ("c", "e")), (186, (30, 16), ("b", "bc")),
    (194, (12, 22), ("f", "ah")), (205, (26, 16), ("a", "c")), (216, (30, 16), ("a", "ce")),
    (221, (38, 22, 8), ("b", "a", "c")), (225, (20, 9), ("a", "ce")), (227, (12, 13, 8), ("a", "d", "e")),
]  # fmt: skip


def labels() -> list[Label]:
    """Canonical labels of many space groups."""
    return [Label(number, elements, canonical_letters(number, letters)) for number, elements, letters in LABELS]


def random_values(label: Label, seed: int) -> np.ndarray:
    """Degrees of freedom of a reasonable cell."""
    rng = np.random.default_rng((seed, label.spacegroup_number))
    return np.array([
        rng.random() if f.kind >= COORDINATE else rng.uniform(-0.15, 0.15) for f in degrees_of_freedom(label)
    ])  # fmt: skip


def random_structure(label: Label, seed: int = 0) -> Crystal:
    """A structure of the label."""
    return to_crystal(from_values(label, random_values(label, seed), VOLUMES))


def tiny_model(seed: int = 0, closest: float = 0.0, networks: int = 1) -> SymmetryModel:
    """Untrained networks of width 16, some of each kind, that know the first 60 elements."""
    torch.manual_seed(seed)
    labels = tuple(LabelNetwork(TINY).eval() for _ in range(networks))
    fills = tuple(FillNetwork(TINY).eval() for _ in range(networks))
    return SymmetryModel(labels, fills, ElementFacts(VOLUMES, frozenset(range(1, 61)), closest))
