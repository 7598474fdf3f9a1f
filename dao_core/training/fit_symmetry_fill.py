"""Train the symmetry fill network: examples with replaced elements and slightly wrong earlier values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dao_core.generate.symmetry.description import (
    COORDINATE,
    Description,
    equivalent_descriptions,
    values_of,
)
from dao_core.generate.symmetry.fill_network import FillNetwork
from dao_core.generate.symmetry.fill_tokens import EncodedFill, FillBatch, encode_fill
from dao_core.training.fit_symmetry import Substitution
from dao_core.training.symmetry_loop import SymmetryTrainingConfig

COORDINATE_NOISE, CELL_NOISE = 0.005, 0.015  # of earlier values: sampling makes such errors
USUAL_FREEDOMS = 6  # mean number; brings the sum over a structure to the size at which gradients are clipped
VALIDATED = 1200


class FillExamples:
    """Degrees of freedom of training structures and of validation."""

    def __init__(
        self,
        train: Sequence[Description],
        validation: Sequence[Description],
        volumes: NDArray[np.float64],
        config: SymmetryTrainingConfig,
    ) -> None:
        self.config, self.substitution = config, Substitution([d.label for d in train])
        self.rows = [encode_fill(d.label, values_of(d, volumes)) for d in train]
        self.others = [[values_of(e, volumes) for e in equivalent_descriptions(d)] if config.equivalent else []
                       for d in train]  # fmt: skip
        self.held = [encode_fill(d.label, values_of(d, volumes)) for d in validation[:VALIDATED]]
        self.lengths = np.array([r.length for r in self.rows])

    def loss(self, network: nn.Module, rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Mean over structures of the divergence summed over their degrees of freedom, in units of six of them."""
        assert isinstance(network, FillNetwork)
        batch = FillBatch.of([self._substituted(self.described(k, rng), rng) for k in rows])
        noise = torch.randn(batch.before_value.shape)
        spread = torch.where(batch.before_freedom >= COORDINATE, COORDINATE_NOISE, CELL_NOISE)
        batch = replace(batch, before_value=batch.before_value + noise * spread)
        total = torch.stack([part.sum() for part in network.losses(batch).values()]).sum()
        return total / (len(rows) * USUAL_FREEDOMS)

    def described(self, k: int, rng: np.random.Generator) -> EncodedFill:
        """A structure in its canonical or, by chance, another description; one without others stays as it is."""
        row, others = self.rows[k], self.others[k]
        if len(others) < 2 or rng.random() >= self.config.equivalent:
            return row
        return replace(row, values=others[rng.integers(len(others))].astype(np.float32), canonical=False)

    def _substituted(self, row: EncodedFill, rng: np.random.Generator) -> EncodedFill:
        old, where = np.unique(row.orbits[:, 0], return_inverse=True)
        new = self.substitution.draw(old, self.config.substitution, rng)
        if (new == old).all():
            return row
        orbits = row.orbits.copy()
        orbits[:, 0] = new[where]
        return replace(row, orbits=orbits)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Losses on the rows held out, by name."""
        assert isinstance(network, FillNetwork)
        parts: dict[str, list[Tensor]] = {}
        held = sorted(self.held, key=lambda r: r.length)
        for begin in range(0, len(held), 200):
            for name, part in network.losses(FillBatch.of(held[begin : begin + 200])).items():
                parts.setdefault(name, []).append(part)
        figures = {name: float(torch.cat(values).mean()) for name, values in parts.items()}
        total = sum(float(torch.cat(values).sum()) for values in parts.values()) / len(held)
        return {**figures, "structure": total}
