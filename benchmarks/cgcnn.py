"""A baseline of the size of CGCNN (Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018)) for formation energies.

The published sizes: 64 atom features, 3 convolutions over the 12 nearest neighbours within 8 angstrom, 41 Gaussians,
128 hidden features. Neighbours are found once, before the clock starts, as CGCNN caches them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from dao_core.models.embeddings import ElementEmbedding
from dao_core.models.geometry import edge_distances, neighbor_edges
from dao_core.training.packed import PackedCrystals

NEIGHBORS, RADIUS, GAUSSIANS = 12, 8.0, 41


@dataclass
class Graphs:
    """Nearest neighbours of every atom of a packed set: local index (A, 12) and distance (A, 12), RADIUS if none."""

    index: NDArray[np.int16]
    distance: NDArray[np.float32]

    @classmethod
    def build(cls, data: PackedCrystals, chunk_pairs: int = 4000) -> Graphs:
        total = int(data.pointer[-1])
        index = np.zeros((total, NEIGHBORS), dtype=np.int16)
        distance = np.full((total, NEIGHBORS), RADIUS, dtype=np.float32)
        order = np.argsort(data.n_atoms, kind="stable")
        while len(order):
            take = max(1, min(len(order), chunk_pairs // int(data.n_atoms[order[0]] + 1) ** 2))
            _fill(data, order[:take], index, distance)
            order = order[take:]
        return cls(index, distance)


def _fill(data: PackedCrystals, rows: NDArray[np.int64], index: NDArray[np.int16], out: NDArray[np.float32]) -> None:
    batch = data.gather(rows).crystals
    edges, shift = neighbor_edges(batch.lattice, batch.frac_coords, batch.mask, RADIUS)
    far = edge_distances(batch.lattice, batch.frac_coords, edges, shift).numpy()
    structure, i, j = edges.numpy()
    center = data.pointer[rows][structure] + i
    order = np.lexsort((far, center))
    center, far, j = center[order], far[order], j[order]
    first = np.searchsorted(center, center)  # start of each centre's run
    rank = np.arange(len(center)) - first
    keep = rank < NEIGHBORS
    index[center[keep], rank[keep]] = j[keep]
    out[center[keep], rank[keep]] = far[keep]


class Convolution(nn.Module):
    """v_i += sum_j sigmoid(z_ij W_f) * softplus(z_ij W_s), with batch normalisation as published."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.full = nn.Linear(2 * width + GAUSSIANS, 2 * width)
        self.norm1, self.norm2 = nn.BatchNorm1d(2 * width), nn.BatchNorm1d(width)

    def forward(self, x: Tensor, edge: Tensor, index: Tensor, present: Tensor) -> Tensor:
        a, m = index.shape
        z = torch.cat([x.unsqueeze(1).expand(a, m, -1), x[index.reshape(-1)].view(a, m, -1), edge], dim=-1)
        gate, core = self.norm1(self.full(z).reshape(a * m, -1)).view(a, m, -1).chunk(2, dim=-1)
        message = (torch.sigmoid(gate) * F.softplus(core) * present).sum(1)
        return F.softplus(x + self.norm2(message))


class Cgcnn(nn.Module):
    """Energy per atom of each structure, in the units of its label, (B,)."""

    centers: Tensor

    def __init__(self, width: int = 64, hidden: int = 128, n_layers: int = 3) -> None:
        super().__init__()
        self.elements = ElementEmbedding(width)
        self.layers = nn.ModuleList(Convolution(width) for _ in range(n_layers))
        self.hidden, self.out = nn.Linear(width, hidden), nn.Linear(hidden, 1)
        self.register_buffer("centers", torch.linspace(0.0, RADIUS, GAUSSIANS), persistent=False)

    def forward(self, numbers: Tensor, index: Tensor, distance: Tensor, owner: Tensor, n: int) -> Tensor:
        """`numbers` (A,), `index` (A, 12) into the atoms of the batch, `distance` (A, 12), `owner` (A,) structure."""
        edge = torch.exp(-(((distance.unsqueeze(-1) - self.centers) / (RADIUS / (GAUSSIANS - 1))) ** 2))
        present = (distance < RADIUS).unsqueeze(-1).to(edge.dtype)
        x = self.elements(numbers)
        for layer in self.layers:
            x = layer(x, edge, index, present)
        count = torch.bincount(owner, minlength=n).unsqueeze(-1).to(x.dtype)
        pooled = x.new_zeros(n, x.shape[-1]).index_add(0, owner, x) / count
        return self.out(F.softplus(self.hidden(F.softplus(pooled)))).squeeze(-1)


def predict_rows(network: nn.Module, data: PackedCrystals, graphs: Graphs, rows: NDArray[np.int64]) -> Tensor:
    """The network's energies of some rows of a packed set, (B,)."""
    sizes = data.n_atoms[rows]
    begin = np.concatenate([[0], np.cumsum(sizes)])
    atoms = np.repeat(data.pointer[rows] - begin[:-1], sizes) + np.arange(begin[-1])
    owner = np.repeat(np.arange(len(rows)), sizes)
    index = graphs.index[atoms].astype(np.int64) + begin[:-1][owner][:, None]
    numbers = torch.from_numpy(data.atomic_numbers[atoms].astype(np.int64))
    energies: Tensor = network(
        numbers, torch.from_numpy(index), torch.from_numpy(graphs.distance[atoms]), torch.from_numpy(owner), len(rows)
    )
    return energies
