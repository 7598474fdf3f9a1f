"""The likeliest degrees of freedom of a label: a beam over the peaks of each predicted distribution.

Several networks vote: a distribution is the mean of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dao_core.generate.symmetry.description import COORDINATE
from dao_core.generate.symmetry.fill_network import FillNetwork
from dao_core.generate.symmetry.fill_tokens import RANGES, EncodedFill, FillBatch, encode_fill, n_bins
from dao_core.generate.symmetry.labels import Label

BATCH = 384
MOST_PEAKS = 4
SEARCHED_PEAKS = 8
SMALLEST_PEAK = 0.01  # probability of its basin
SPECIAL = np.array([0, 1 / 8, 1 / 4, 1 / 3, 3 / 8, 1 / 2, 5 / 8, 2 / 3, 3 / 4, 7 / 8, 1])
SNAP = 0.0035  # a quarter of a bin: a value so close to a simple fraction is taken to be it
SMOOTHING = np.array([0.25, 0.5, 0.25])


@dataclass(frozen=True)
class Fill:
    """Values of a label's degrees of freedom and the log of the probability that the network gives their peaks."""

    values: tuple[float, ...]
    log_probability: float


@torch.no_grad()
def search_fills(networks: Sequence[FillNetwork], labels: Sequence[Label], width: int = 8) -> list[list[Fill]]:
    """The likeliest fills of each label by beam search.

    Args:
        networks: Of the fills; their probabilities are averaged.
        labels: What is filled.
        width: Most fills of each label.

    Returns:
        Fills of each label, likeliest first.
    """
    rows = [encode_fill(label) for label in labels]
    beams = [[Fill((), 0.0)] for _ in rows]
    live = list(range(len(rows)))
    step = 0
    while live:
        grown: list[list[Fill]] = [[] for _ in rows]
        items = sorted(((i, fill) for i in live for fill in beams[i]), key=lambda item: rows[item[0]].length)
        for begin in range(0, len(items), BATCH):
            part = items[begin : begin + BATCH]
            heads = [rows[i].head(fill.values) for i, fill in part]
            for (i, fill), probabilities, kind in zip(part, *_predict(networks, heads), strict=True):
                grown[i] += [
                    Fill((*fill.values, value), fill.log_probability + float(np.log(mass)))
                    for value, mass in peaks(kind, probabilities)
                ]
        for i in live:
            beams[i] = sorted(grown[i], key=lambda fill: -fill.log_probability)[:width]
        step += 1
        live = [i for i in live if step < len(rows[i].kinds)]
    return beams


def _predict(
    networks: Sequence[FillNetwork], heads: Sequence[EncodedFill]
) -> tuple[list[NDArray[np.float64]], list[int]]:
    """Probabilities of the bins of each row's last degree of freedom, and its kind."""
    batch, last = FillBatch.of(heads), torch.tensor([h.length - 1 for h in heads])
    states = [network(batch)[torch.arange(len(heads)), last] for network in networks]
    kinds = [int(h.kinds[-1]) for h in heads]
    out: list[NDArray[np.float64]] = [np.zeros(0)] * len(heads)
    for kind in set(kinds):
        rows = [i for i, k in enumerate(kinds) if k == kind]
        each = [
            torch.softmax(n.logits(state[rows], kind).double(), -1) for n, state in zip(networks, states, strict=True)
        ]
        for i, row in zip(rows, torch.stack(each).mean(0).numpy(), strict=True):
            out[i] = row
    return out, kinds


def peaks(kind: int, probabilities: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Local maxima of a distribution over bins.

    Args:
        kind: Of the degree of freedom.
        probabilities: Of its bins, (n,).

    Returns:
        (value, probability of its basin), largest first. The value is the mean of the bins around the maximum;
        coordinates (from 0 to 1) snap to simple fractions.
    """
    n, periodic = n_bins(kind), kind >= COORDINATE
    padded = np.pad(probabilities, 1, mode="wrap") if periodic else np.pad(probabilities, 1, mode="edge")
    smooth = np.convolve(padded, SMOOTHING, mode="valid")
    around = np.pad(smooth, 1, mode="wrap") if periodic else np.pad(smooth, 1, constant_values=-1.0)
    tops = np.flatnonzero((smooth > around[:-2]) & (smooth >= around[2:]))
    tops = tops if len(tops) else np.array([smooth.argmax()])
    tops = tops[np.argsort(-smooth[tops], kind="stable")][:SEARCHED_PEAKS]
    away = np.arange(float(n))[:, None] - tops  # (n, tops)
    if periodic:
        away = away - n * np.round(away / n)
    nearest = np.abs(away).argmin(1)
    found = []
    for k, top in enumerate(tops):
        mass = float(probabilities[nearest == k].sum())
        if mass <= SMALLEST_PEAK and k:
            continue
        close = (nearest == k) & (np.abs(away[:, k]) <= (2 if periodic else 3))
        weight = probabilities[close]
        place = top + float((weight * away[close, k]).sum() / max(weight.sum(), 1e-12))
        found.append((_value(kind, place, n), max(mass, 1e-12)))
    return sorted(found, key=lambda peak: -peak[1])[:MOST_PEAKS]


def _value(kind: int, place: float, n: int) -> float:
    if kind < COORDINATE:
        low, high, _ = RANGES[kind]
        return low + (place + 0.5) / n * (high - low)
    value = place / n % 1.0
    close = SPECIAL[np.abs(SPECIAL - value) < SNAP]
    return float(close[0] % 1.0) if len(close) else value
