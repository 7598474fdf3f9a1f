"""A local equivariant network for energies: messages are linear in image-summed neighbour features.

Scalars and vectors as in PaiNN (Schuett, Unke and Gastegger, ICML 2021), in dense form: all images of j around i are
summed
into one radial and one vector feature first. Because every message is linear in these sums, the energy per atom is
the same
for any choice of cell, primitive or supercell, follows the symmetry of the crystal exactly and is smooth everywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dao_core.models.config import LocalConfig
from dao_core.models.embeddings import ElementEmbedding, sinusoidal_time
from dao_core.models.geometry import edge_vectors, full_precision, neighbor_edges, radial_basis
from dao_core.models.heads import Outputs, masked_mean

_TYPICAL_NEIGHBORS = 20.0  # keeps message sums of order one


def neighbor_moments(
    lattice: Tensor, frac_coords: Tensor, mask: Tensor, n_radial: int, cutoff: float
) -> tuple[Tensor, Tensor]:
    """Sums over the images of j around i: radial basis (B, N, N, K), and radial basis times direction (B, N, N, 3,
    K)."""
    b, n = mask.shape
    index, shift = neighbor_edges(lattice, frac_coords, mask, cutoff)
    structure, i, j = index
    vector = edge_vectors(lattice, frac_coords, index, shift)  # (E, 3)
    distance = (vector.square().sum(-1) + 1e-10).sqrt()
    basis = radial_basis(distance, n_radial, cutoff)  # (E, K)
    direction = vector / distance.unsqueeze(-1)
    edge = torch.cat([basis.unsqueeze(1), direction.unsqueeze(-1) * basis.unsqueeze(1)], dim=1)  # (E, 4, K)
    flat = (structure * n + i) * n + j
    moments = edge.new_zeros(b * n * n, 4, n_radial).index_add(0, flat, edge).view(b, n, n, 4, n_radial)
    return moments[..., 0, :], moments[..., 1:, :]


class LocalLayer(nn.Module):
    """One round of messages between neighbours, then scalars and vectors of each atom mix."""

    def __init__(self, width: int, n_radial: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.sender = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 3 * width))
        self.radial = nn.Linear(n_radial, 2 * width, bias=False)
        self.directed = nn.Linear(n_radial, width, bias=False)
        self.vectors = nn.Linear(width, 2 * width, bias=False)
        self.mix = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.SiLU(), nn.Linear(2 * width, 3 * width))

    def forward(self, x: Tensor, v: Tensor, radial: Tensor, directed: Tensor) -> tuple[Tensor, Tensor]:
        scalar, push, carry = self.sender(self.norm(x)).chunk(3, dim=-1)  # each (B, N, width)
        f_scalar, f_carry = self.radial(radial).chunk(2, dim=-1)  # (B, N, N, width)
        f_push = self.directed(directed)  # (B, N, N, 3, width)
        # products and sums instead of einsum, which would transpose the pair tensors for a batch of tiny matmuls
        x = x + (f_scalar * scalar.unsqueeze(1)).sum(2)
        carried = (carry.unsqueeze(2) * v).unsqueeze(1)  # (B, 1, N, 3, width)
        v = v + torch.addcmul(f_push * push.unsqueeze(1).unsqueeze(3), f_carry.unsqueeze(3), carried).sum(2)
        left, right = self.vectors(v).chunk(2, dim=-1)  # (B, N, 3, width)
        length = (right.square().sum(2) + 1e-8).sqrt()
        a, b, c = self.mix(torch.cat([x, length], dim=-1)).chunk(3, dim=-1)
        return x + a + b * (left * right).sum(2), v + c.unsqueeze(2) * left


class LocalNet(nn.Module):
    """Same call as `Crysformer`. Velocities of the atoms come from the vectors; it makes no lattice update."""

    def __init__(self, config: LocalConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.elements = ElementEmbedding(width)
        self.time = nn.Linear(config.time_dim, width)
        self.layers = nn.ModuleList(LocalLayer(width, config.n_radial) for _ in range(config.n_blocks))
        self.norm = nn.LayerNorm(width)
        self.push = nn.Linear(width, 1, bias=False)
        self.energy = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, config.n_energies))

    def forward(
        self,
        lattice: Tensor,
        frac_coords: Tensor,
        atomic_numbers: Tensor,
        t: Tensor,
        seeded: Tensor | None = None,  # noqa: ARG002
    ) -> Outputs:
        mask = atomic_numbers > 0
        c = self.config
        radial, directed = neighbor_moments(lattice, frac_coords, mask, c.n_radial, c.cutoff)
        radial, directed = radial / _TYPICAL_NEIGHBORS**0.5, directed / _TYPICAL_NEIGHBORS**0.5
        time = self.time(sinusoidal_time(t, c.time_dim)).unsqueeze(1)
        x = F.silu(self.elements(atomic_numbers) + time) * mask.unsqueeze(-1).to(lattice.dtype)
        v = x.new_zeros(*x.shape[:2], 3, x.shape[-1])
        for layer in self.layers:
            x, v = layer(x, v, radial, directed)
        cart = self.push(v).squeeze(-1)  # (B, N, 3)
        with full_precision(lattice):
            coords = cart.to(lattice.dtype) @ torch.linalg.inv(lattice) * mask.unsqueeze(-1)
        atoms = self.norm(x)
        energies = masked_mean(self.energy(atoms), mask)
        zero = lattice.new_zeros
        return Outputs(coords, zero(len(t), 3, 3), zero(len(t), 6), energies, atoms)
