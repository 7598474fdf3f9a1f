"""Calibration of the ensemble spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from dao_core.energy.predictor import Prediction


@dataclass
class Calibration:
    """Spread model std^2 = (factor * ensemble std)^2 + floor^2, and how well it covers the errors."""

    factor: float
    floor: float
    mae: float
    coverage: dict[str, float]
    n: int

    def summary(self) -> dict[str, object]:
        """JSON form for a model card."""
        return {
            "n": self.n,
            "mae_eV_per_atom": self.mae,
            "factor": self.factor,
            "floor": self.floor,
            "coverage": self.coverage,
        }


def calibrate(*, predictions: Sequence[Prediction], labels: NDArray[np.float64]) -> Calibration:
    """Fit factor and floor by maximum likelihood of a Laplace error model on held-out labels.

    Args:
        predictions: With the uncalibrated spread, up to the predictor's current floor; NaN where there is none.
        labels: Formation energies in eV/atom, (M,), NaN where unknown.

    Returns:
        The calibration, and how well it covers the errors.
    """
    error = np.abs(np.array([p.formation_energy_per_atom for p in predictions]) - labels)
    known = np.isfinite(error)
    error, spread = error[known], np.maximum(np.array([p.std for p in predictions])[known], 1e-6)

    def loss(theta: NDArray[np.float64]) -> float:
        std = np.sqrt((np.exp(theta[0]) * spread) ** 2 + np.exp(2 * theta[1]))
        return float(np.mean(np.log(std) + math.sqrt(2) * error / std))

    best = minimize(loss, np.array([0.0, math.log(max(float(np.median(error)), 1e-4))]), method="Nelder-Mead")
    factor, floor = float(np.exp(best.x[0])), float(np.exp(best.x[1]))
    std = np.sqrt((factor * spread) ** 2 + floor**2)
    coverage = {f"{k} std": float(np.mean(error <= k * std)) for k in (0.5, 1.0, 2.0)}
    return Calibration(factor, floor, float(error.mean()), coverage, int(known.sum()))
