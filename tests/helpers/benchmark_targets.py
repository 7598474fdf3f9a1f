"""Targets of a benchmark by atomic numbers."""

from __future__ import annotations

import numpy as np

from dao_core.crystal import Crystal


def rocksalt(first: int, second: int, edge: float = 5.6) -> Crystal:
    lattice = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * edge / 2
    return Crystal(lattice, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([first, second]))


def cesium_chloride(first: int, second: int, edge: float = 3.9) -> Crystal:
    return Crystal(np.eye(3) * edge, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([first, second]))


def perovskite() -> Crystal:
    frac = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5]])
    return Crystal(np.eye(3) * 4, frac, np.array([38, 22, 8, 9]))
