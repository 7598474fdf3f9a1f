"""Uncorrected PBE(+U) total energies (of the Materials Project, or of a potential trained on it) on MP-20's scale.

MP-20's formation energies carry the corrections of their time: one constant an element, one for an anion, one for a
metal with a Hubbard U in an oxide or fluoride. All are linear in the composition once it is known what is an anion and
where U acts, so they are fitted, robustly, to structures of which both energies are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

WITH_U = [23, 24, 25, 26, 27, 28, 42, 74]  # V, Cr, Mn, Fe, Co, Ni, Mo, W
SMALL = 0.02  # eV/atom: what a row leaves over beyond this counts less and less
COLUMNS = ["material_id", "atomic_numbers", "formation_energy_per_atom", "energy_per_atom_mpf2021"]


@dataclass(frozen=True)
class MpScale:
    """Linear correction from total energy to formation energy, both an atom; `left` is its mean error, eV/atom."""

    weights: NDArray[np.float64]
    left: float
    n: int

    @classmethod
    def fit(cls, data: Path) -> MpScale:
        """From MP-20's training split and what else carries both energies; the error is that of a fifth left out."""
        train = pd.read_parquet(data / "mp_20/train.parquet")[COLUMNS]
        rest = pd.read_parquet(data / "mp_structures.parquet")
        rest = rest[rest.energy_source.isin(["mp20", "mpts52"])][COLUMNS]
        both = pd.concat([train, rest]).drop_duplicates("material_id")
        for name in ("mp_20/val", "mp_20/test_public", "mpts_52/val", "mpts_52/test_public"):
            held = pd.read_parquet(data / f"{name}.parquet", columns=["material_id"])
            both = both[~both.material_id.isin(held.material_id)]
        both = both.dropna()
        x = np.stack([features(np.asarray(z)) for z in both.atomic_numbers])
        y = (both.energy_per_atom_mpf2021 - both.formation_energy_per_atom).to_numpy()
        seen = np.random.default_rng(0).random(len(y)) < 0.8
        left = float(np.abs(y - x @ robust_fit(x[seen], y[seen]))[~seen].mean())
        return cls(robust_fit(x, y), left, len(y))

    def formation_energy(self, total_per_atom: float, numbers: Sequence[int] | NDArray[np.int64]) -> float:
        """Formation energy on MP-20's scale, eV/atom."""
        return float(total_per_atom - features(np.asarray(numbers)) @ self.weights)


def features(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each element (101), of each as the anion (101), of metals with U in oxides or fluorides, in oxides."""
    from pymatgen.core import Element

    share = np.bincount(numbers, minlength=101) / len(numbers)
    present = np.flatnonzero(share)
    anion = np.zeros(101)
    if len(present) > 1:
        most = max(present, key=lambda z: np.nan_to_num(Element.from_Z(int(z)).X))
        anion[most] = share[most]
    metals = share[WITH_U]
    return np.concatenate([share, anion, metals * (share[8] + share[9] > 0), metals * (share[8] > 0)])


def robust_fit(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least absolute deviations by reweighting; a few rows of another scheme must not bend the scale."""
    weight = np.ones(len(y))
    for _ in range(15):
        w = np.linalg.solve((x * weight[:, None]).T @ x + 1e-3 * np.eye(x.shape[1]), (x * weight[:, None]).T @ y)
        weight = np.minimum(1.0, SMALL / np.maximum(np.abs(y - x @ w), 1e-6))
    return np.asarray(w)
