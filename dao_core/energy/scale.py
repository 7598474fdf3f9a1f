"""The scale of DAO-P: between formation energies in eV/atom and the numbers that its network learns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dao_core.units import NEAR_HULL

MIN_SOURCE_ROWS = 50  # fewer near-stable rows give a source no correction


@dataclass(frozen=True, eq=False)
class EnergyRows:
    """Labels that a scale is fitted to, one row a structure.

    Attributes:
        fractions: Composition, (M, 101).
        formation: Formation energy in eV/atom, (M,), NaN where unknown.
        source: Which of `names` labelled the row, (M,).
        hull: Energy above the hull in eV/atom, (M,), NaN where unknown.
        names: The label sources; the first is the reference that predictions are given in.
    """

    fractions: NDArray[np.float64]
    formation: NDArray[np.float64]
    source: NDArray[np.int64]
    hull: NDArray[np.float64]
    names: list[str]


@dataclass
class EnergyScale:
    """From network units to eV/atom.

    Attributes:
        baseline: Linear composition model of each label source, (S, 101); row 0 is the reference of predictions.
        sources: Names of the sources.
        residual_std: Spread of formation energies around the baseline, eV/atom.
        hull_mean: Mean of the energies above hull, eV/atom.
        hull_std: Their spread.
        spread_factor: Calibration of the ensemble spread (see uncertainty.py): factor on it.
        spread_floor: The same: what is added in quadrature, eV/atom.
    """

    baseline: NDArray[np.float64]
    sources: list[str]
    residual_std: float
    hull_mean: float
    hull_std: float
    spread_factor: float = 1.0
    spread_floor: float = 0.0

    @classmethod
    def fit(cls, rows: EnergyRows) -> EnergyScale:
        """Ridge fit of a shared composition model and, where it can be told apart, each source's own correction to it.

        A source's correction is fitted on its near-stable rows alone (known energy above hull below NEAR_HULL): on all
        rows, a source of unstable structures would get an offset that hides their instability from the network.

        Args:
            rows: All training rows.

        Returns:
            The scale, its spread not yet calibrated.
        """
        names, hull, known = rows.names, rows.hull, np.isfinite(rows.formation)
        x, y, s = rows.fractions[known], rows.formation[known], rows.source[known]
        shared = np.linalg.solve(x.T @ x + np.eye(101), x.T @ y)
        baseline = np.repeat(shared[None], len(names), axis=0)
        near = np.nan_to_num(hull[known], nan=np.inf) < NEAR_HULL
        zero = _source_residual(x, y - x @ shared, near & (s == 0))
        for k in range(1, len(names)):
            if zero is not None and (own := _source_residual(x, y - x @ shared, near & (s == k))) is not None:
                baseline[k] += own - zero
        residual = y - (x * baseline[s]).sum(1)
        hull = hull[np.isfinite(hull)]
        mean, std = (float(hull.mean()), float(hull.std())) if len(hull) else (0.0, 1.0)
        return cls(baseline, names, max(float(residual.std()), 1e-3), mean, max(std, 1e-3))

    def adapted(
        self, fractions: NDArray[np.float64], left: NDArray[np.float64], source: NDArray[np.int64], names: list[str]
    ) -> EnergyScale:
        """The same scale for other label sources: the reference row plus a correction an element for what is `left`.

        A source of less than MIN_SOURCE_ROWS rows gets the correction of all rows.

        Args:
            fractions: Composition, (M, 101).
            left: Label minus prediction in eV/atom, (M,).
            source: Which of `names` labelled the row, (M,).
            names: The new sources.

        Returns:
            A scale for the new sources.
        """
        rows = np.ones(len(left), dtype=bool)
        shared = _source_residual(fractions, left, rows, ridge=1.0)
        baseline = np.repeat(self.baseline[:1], len(names), axis=0)
        for k in range(len(names)):
            own = _source_residual(fractions, left, source == k, ridge=1.0)
            correction = shared if own is None else own
            baseline[k] += 0.0 if correction is None else correction
        return replace(self, baseline=baseline, sources=names)

    def state(self) -> dict[str, object]:
        """JSON form for a checkpoint's config."""
        return {**self.__dict__, "baseline": np.round(self.baseline, 6).tolist()}

    @classmethod
    def from_state(cls, state: dict[str, object]) -> EnergyScale:
        """Back from `state`."""
        return cls(**{**state, "baseline": np.array(state["baseline"])})  # type: ignore[arg-type]


def _source_residual(
    x: NDArray[np.float64], residual: NDArray[np.float64], rows: NDArray[np.bool_], ridge: float = 10.0
) -> NDArray[np.float64] | None:
    """Composition model of what the shared one leaves over on some rows, (101,); None for too few rows."""
    if rows.sum() < MIN_SOURCE_ROWS:
        return None
    return np.asarray(np.linalg.solve(x[rows].T @ x[rows] + ridge * np.eye(x.shape[1]), x[rows].T @ residual[rows]))


def composition_fractions(atomic_numbers: Tensor) -> Tensor:
    """Share of each element, padding left out.

    Args:
        atomic_numbers: (B, N), 0 is padding.

    Returns:
        (B, 101).
    """
    mask = atomic_numbers > 0
    one_hot = torch.zeros(len(atomic_numbers), 101, dtype=torch.float32, device=mask.device)
    one_hot.scatter_add_(1, atomic_numbers, mask.to(one_hot.dtype))
    return one_hot / mask.sum(1, keepdim=True)
