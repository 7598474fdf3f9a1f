"""A baseline of the size of CGCNN (Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018)).

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
PREDICTED_TOGETHER = 100  # rows


@dataclass
class Graphs:
    """Nearest neighbours of every atom of a packed set: local index (A, 12) and distance (A, 12), RADIUS if none."""

    index: NDArray[np.int16]
    distance: NDArray[np.float32]

    @classmethod
    def build(cls, data: PackedCrystals, chunk_pairs: int = 4000) -> Graphs:
        """Find the neighbours.

        Args:
            data: Structures.
            chunk_pairs: Most atom pairs of the home cells that are looked at together: bounds memory.

        Returns:
            Index and distance in angstrom, nearest first.
        """
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
        """New atom features (A, width).

        Args:
            x: Atom features, (A, width).
            edge: Distances in Gaussians, (A, 12, 41).
            index: Neighbours, (A, 12) into the atoms of the batch.
            present: 1 where there is a neighbour, (A, 12, 1).
        """
        a, m = index.shape
        z = torch.cat([x.unsqueeze(1).expand(a, m, -1), x[index.reshape(-1)].view(a, m, -1), edge], dim=-1)
        gate, core = self.norm1(self.full(z).reshape(a * m, -1)).view(a, m, -1).chunk(2, dim=-1)
        message = (torch.sigmoid(gate) * F.softplus(core) * present).sum(1)
        return F.softplus(x + self.norm2(message))


class Cgcnn(nn.Module):
    """One number a structure, in the units of its label, (B,)."""

    centers: Tensor

    def __init__(self, width: int = 64, hidden: int = 128, n_layers: int = 3) -> None:
        super().__init__()
        self.elements = ElementEmbedding(width)
        self.layers = nn.ModuleList(Convolution(width) for _ in range(n_layers))
        self.hidden, self.out = nn.Linear(width, hidden), nn.Linear(hidden, 1)
        self.register_buffer("centers", torch.linspace(0.0, RADIUS, GAUSSIANS), persistent=False)

    def forward(self, numbers: Tensor, index: Tensor, distance: Tensor, owner: Tensor, n: int) -> Tensor:
        """Mean over the atoms of a structure, then two layers.

        Args:
            numbers: Atomic numbers, (A,).
            index: Neighbours, (A, 12) into the atoms of the batch.
            distance: In angstrom, (A, 12); RADIUS where there is none.
            owner: Structure of each atom, (A,).
            n: How many structures.

        Returns:
            (n,).
        """
        edge = torch.exp(-(((distance.unsqueeze(-1) - self.centers) / (RADIUS / (GAUSSIANS - 1))) ** 2))
        present = (distance < RADIUS).unsqueeze(-1).to(edge.dtype)
        x = self.elements(numbers)
        for layer in self.layers:
            x = layer(x, edge, index, present)
        count = torch.bincount(owner, minlength=n).unsqueeze(-1).to(x.dtype)
        pooled = x.new_zeros(n, x.shape[-1]).index_add(0, owner, x) / count
        return self.out(F.softplus(self.hidden(F.softplus(pooled)))).squeeze(-1)


def predict_rows(network: nn.Module, data: PackedCrystals, graphs: Graphs, rows: NDArray[np.int64]) -> Tensor:
    """The network's numbers for some rows of a packed set.

    Args:
        network: A `Cgcnn`.
        data: Structures.
        graphs: Their neighbours.
        rows: Row numbers, (B,).

    Returns:
        (B,).
    """
    sizes = data.n_atoms[rows]
    begin = np.concatenate([[0], np.cumsum(sizes)])
    atoms = np.repeat(data.pointer[rows] - begin[:-1], sizes) + np.arange(begin[-1])
    owner = np.repeat(np.arange(len(rows)), sizes)
    index = graphs.index[atoms].astype(np.int64) + begin[:-1][owner][:, None]
    numbers = torch.from_numpy(data.atomic_numbers[atoms].astype(np.int64))
    values: Tensor = network(
        numbers, torch.from_numpy(index), torch.from_numpy(graphs.distance[atoms]), torch.from_numpy(owner), len(rows)
    )
    return values


@torch.no_grad()
def predict_all(network: nn.Module, data: PackedCrystals, graphs: Graphs) -> NDArray[np.float64]:
    """Predictions of all rows with the running statistics of the training.

    Args:
        network: A `Cgcnn`; it is left in the mode for training where it was in it.
        data: Structures.
        graphs: Their neighbours.

    Returns:
        (M,), in the network's unit.
    """
    training = network.training
    network.eval()
    parts = np.array_split(np.arange(len(data)), max(1, len(data) // PREDICTED_TOGETHER))
    values = np.concatenate([predict_rows(network, data, graphs, part).double().numpy() for part in parts])
    network.train(training)
    return values
