"""p(degrees of freedom | label): an autoregressive prefix transformer over binned cell shapes and coordinates."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dao_core.generate.symmetry.description import B_OVER_A, COORDINATE, COS_ALPHA, VOLUME
from dao_core.generate.symmetry.fill_tokens import (
    FREEDOM,
    MOST_ATOMS,
    MOST_ELEMENTS,
    MOST_REPEATS,
    NO_KIND,
    ORBIT,
    WHOLE,
    FillBatch,
    n_bins,
    soft_targets,
)
from dao_core.generate.symmetry.transformer import (
    ElementEmbedding,
    PrefixTransformer,
    SpaceGroupEmbedding,
    SymmetryNetworkConfig,
    embedding,
)
from dao_core.generate.symmetry.wyckoff_tables import all_positions, conventional_cell, wyckoff_positions

N_FREQUENCIES = 8  # of a coordinate
RADIAL = (-2.4, 3.2, 32)  # centres of the Gaussian features of a cell value, and their number
RADIAL_WIDTH = 0.2
FAMILIES = {"ratio": (B_OVER_A, B_OVER_A + 1), "angle": (COS_ALPHA, COS_ALPHA + 1, COS_ALPHA + 2),
            "volume": (VOLUME,), "coordinate": (COORDINATE, COORDINATE + 1, COORDINATE + 2)}  # fmt: skip


class FillNetwork(nn.Module):
    """Logits over the bins of each degree of freedom, given the label and the values before it."""

    centres: Tensor
    frequencies: Tensor

    def __init__(self, config: SymmetryNetworkConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.orbits = OrbitEmbedding(width)
        self.groups = SpaceGroupEmbedding(width)
        self.whole, self.group_of_orbit = nn.Parameter(torch.zeros(width)), nn.Linear(width, width)
        self.atoms, self.n_orbits = embedding(MOST_ATOMS + 1, width), embedding(MOST_ATOMS + 1, width)
        self.freedom, self.before = embedding(NO_KIND + 1, width), embedding(NO_KIND + 1, width)
        self.owner, self.before_owner = nn.Linear(width, width), nn.Linear(width, width)
        self.coordinate, self.cell = nn.Linear(2 * N_FREQUENCIES, width), nn.Linear(RADIAL[2] + 1, width)
        self.transformer = PrefixTransformer(config)
        self.heads = nn.ModuleDict({name: nn.Linear(width, n_bins(kinds[0])) for name, kinds in FAMILIES.items()})
        self.equivalent = nn.Parameter(torch.zeros(width))  # marks other than canonical descriptions
        low, high, n = RADIAL
        self.register_buffer("centres", torch.linspace(low, high, n), persistent=False)
        self.register_buffer("frequencies", 2 * math.pi * torch.arange(1, N_FREQUENCIES + 1), persistent=False)

    def forward(self, batch: FillBatch) -> Tensor:
        """Hidden states (B, T, W): that of a degree of freedom's token predicts its value."""
        group = self.groups()[batch.group]  # (B, W)
        orbits = self.orbits(batch.orbit_fields)  # (B, O, W)
        orbits = torch.cat([orbits, torch.zeros_like(orbits[:, :1])], 1)  # index O: the cell
        size = batch.orbit_fields[..., 3].sum(1).clamp_max(MOST_ATOMS)
        number = (batch.prefix - 1).clamp_max(MOST_ATOMS)
        overall = self.whole + self.atoms(size) + self.n_orbits(number) + group
        overall = overall + ~batch.canonical[:, None] * self.equivalent
        kind = batch.kind[..., None]
        x = (kind == ORBIT) * (_take(orbits, batch.source) + self.group_of_orbit(group)[:, None])
        x = x + (kind == WHOLE) * overall[:, None]
        asked = self.freedom(batch.freedom) + self.owner(_take(orbits, batch.owner)) + 0.3 * group[:, None]
        known = self.before(batch.before_freedom) + self.before_owner(_take(orbits, batch.before_owner))
        x = x + (kind == FREEDOM) * (asked + known + self._value(batch))
        return self.transformer(x, batch.prefix)

    def _value(self, batch: FillBatch) -> Tensor:
        value = batch.before_value[..., None]
        waves = value * self.frequencies
        coordinate = self.coordinate(torch.cat([waves.sin(), waves.cos()], -1))
        bumps = torch.exp(-(((value - self.centres) / RADIAL_WIDTH) ** 2))
        cell = self.cell(torch.cat([bumps, value], -1))
        kind = batch.before_freedom[..., None]
        return ((kind >= COORDINATE) & (kind < NO_KIND)) * coordinate + (kind < COORDINATE) * cell

    def logits(self, hidden: Tensor, kind: int) -> Tensor:
        """Scores of the bins of one kind of degree of freedom.

        Args:
            hidden: States of R tokens, (R, W).
            kind: Of the degree of freedom.

        Returns:
            (R, n), n bins of that kind.
        """
        name = next(name for name, kinds in FAMILIES.items() if kind in kinds)
        return self.heads[name](hidden)

    def losses(self, batch: FillBatch) -> dict[str, Tensor]:
        """Kullback-Leibler divergence from the spread-out truth of every degree of freedom, by family."""
        hidden, out = self(batch), {}
        for name, kinds in FAMILIES.items():
            here = (batch.freedom >= kinds[0]) & (batch.freedom <= kinds[-1])
            if here.any():
                predicted = torch.log_softmax(self.heads[name](hidden[here]).float(), -1)
                wanted = soft_targets(kinds[0], batch.target[here])
                out[name] = (wanted * (wanted.clamp_min(1e-9).log() - predicted)).sum(-1)
        return out


class OrbitEmbedding(nn.Module):
    """A vector for each orbit: its element, its Wyckoff position and where it lies, how many atoms it has."""

    features: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        features = position_features()
        self.register_buffer("features", torch.tensor(features, dtype=torch.float32), persistent=False)
        self.element = ElementEmbedding(width)
        self.position, self.place = embedding(len(features), width, 0.15), nn.Linear(features.shape[1], width)
        self.size, self.count = embedding(MOST_ATOMS + 1, width), embedding(MOST_ATOMS + 1, width)
        self.rank, self.element_place = embedding(MOST_REPEATS + 1, width), embedding(MOST_ELEMENTS + 1, width)
        self.share = nn.Linear(2, width)

    def forward(self, fields: Tensor) -> Tensor:
        """(B, O, 6) in the order of `EncodedFill.orbits` to (B, O, W)."""
        element, position, rank, size, count, place = fields.unbind(-1)
        total = size.sum(1, keepdim=True)
        share = torch.stack([count.float() / total, torch.log(size.clamp_min(1).float()) / 3], -1)
        x = self.element(element) + self.position(position) + self.place(self.features[position]) + self.share(share)
        x = x + self.size(size.clamp_max(MOST_ATOMS)) + self.count(count.clamp_max(MOST_ATOMS))
        return x + self.rank(rank) + self.element_place(place.clamp_max(MOST_ELEMENTS))


def position_features() -> NDArray[np.float64]:
    """Geometry of every Wyckoff position, (1731, 34): directions in both cells, its origin as waves, its dimension."""
    rows = []
    for number, letter in all_positions():
        position = wyckoff_positions(number)[letter]
        directions = np.zeros((3, 3))
        directions[:, : position.n_free] = position.directions
        from_primitive = np.linalg.inv(conventional_cell(number).T)
        angle = 2 * np.pi * from_primitive @ position.origin
        waves = [np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)]
        dimension = np.eye(4)[position.n_free]
        rows.append(np.concatenate([(from_primitive @ directions).ravel(), directions.ravel(), *waves, dimension]))
    return np.array(rows)


def _take(orbits: Tensor, index: Tensor) -> Tensor:
    return orbits.gather(1, index[..., None].expand(-1, -1, orbits.shape[-1]))
