"""A local equivariant network for energies: messages are linear in image-summed neighbour features.

Scalars and vectors as in PaiNN (Schuett, Unke and Gastegger, ICML 2021), symmetric traceless tensors beside them where
asked for, in dense form: all images of j around i are summed into radial features of each order first. Because every
message is linear in these sums, the energy per atom is the same for any choice of cell, primitive or supercell, follows
the symmetry of the crystal exactly and is smooth everywhere. This holds where the image search finds all neighbours; a
strongly skewed cell has to be reduced before (`dao_core.models.compact`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dao_core.models.config import LocalConfig
from dao_core.models.embeddings import ElementEmbedding, sinusoidal_time
from dao_core.models.geometry import edge_vectors, full_precision, neighbor_edges, radial_basis
from dao_core.models.heads import Outputs, masked_mean
from dao_core.models.repulsion import NuclearRepulsion

_TYPICAL_NEIGHBORS = 20.0  # keeps message sums of order one
_TENSOR_RADIAL = 8  # radial functions of the tensors: coarser than those of scalars and vectors, for speed


@dataclass
class Edges:
    """Neighbour images of a batch.

    Attributes:
        index: Structure, i and j, (3, E).
        vector: From i to the image of j, (E, 3) in angstrom.
        distance: Its length, (E,).
    """

    index: Tensor
    vector: Tensor
    distance: Tensor


@dataclass
class Moments:
    """Sums over the images of j around i.

    Attributes:
        radial: Radial functions, (B, N, N, K).
        directed: Radial functions times direction, (B, N, N, 3, K).
        squared: Coarse radial functions times the traceless square of the direction, (B, N, N, 5, 8); None without
            tensors.
    """

    radial: Tensor
    directed: Tensor
    squared: Tensor | None = None


def neighbor_images(lattice: Tensor, frac_coords: Tensor, mask: Tensor, cutoff: float) -> Edges:
    """The images within the cutoff of each atom, differentiable in lattice and coordinates.

    Args:
        lattice: (B, 3, 3) in angstrom.
        frac_coords: (B, N, 3).
        mask: Real atoms, (B, N).
        cutoff: Angstrom.

    Returns:
        The edges.
    """
    index, shift = neighbor_edges(lattice, frac_coords, mask, cutoff)
    vector = edge_vectors(lattice, frac_coords, index, shift)  # (E, 3)
    return Edges(index, vector, (vector.square().sum(-1) + 1e-10).sqrt())


def neighbor_moments(edges: Edges, shape: tuple[int, int], basis: Tensor, coarse: Tensor | None = None) -> Moments:
    """Sum the radial functions of all images of a pair.

    Args:
        edges: The images.
        shape: Batch size B and padded number of atoms N.
        basis: Radial functions of each edge, (E, K).
        coarse: Those of the tensors, (E, 8); None where there are none.

    Returns:
        The moments of every ordered pair.
    """
    (b, n), k = shape, basis.shape[-1]
    structure, i, j = edges.index
    direction = edges.vector / edges.distance.unsqueeze(-1)
    parts = [basis, (direction.unsqueeze(-1) * basis.unsqueeze(1)).flatten(1)]
    if coarse is not None:
        parts.append((traceless_square(direction).unsqueeze(-1) * coarse.unsqueeze(1)).flatten(1))
    edge = torch.cat(parts, dim=1)  # (E, 4 K) or (E, 4 K + 40)
    flat = (structure * n + i) * n + j
    summed = edge.new_zeros(b * n * n, edge.shape[1]).index_add(0, flat, edge).view(b, n, n, -1)
    squared = None if coarse is None else summed[..., 4 * k :].reshape(b, n, n, 5, -1)
    return Moments(summed[..., :k], summed[..., k : 4 * k].reshape(b, n, n, 3, k), squared)


def traceless_square(direction: Tensor) -> Tensor:
    """Five components xy, yz, zx, (xx - yy) / 2, (3 zz - 1) / sqrt(12) of unit vectors, (..., 3) -> (..., 5)."""
    x, y, z = direction.unbind(-1)
    return torch.stack([x * y, y * z, z * x, 0.5 * (x * x - y * y), (3 * z * z - 1) * 12**-0.5], dim=-1)


def tensor_times_vector(tensor: Tensor, vector: Tensor) -> Tensor:
    """Product of symmetric traceless matrices with vectors.

    Args:
        tensor: (..., 5, C), five components of each matrix.
        vector: (..., 3, C).

    Returns:
        (..., 3, C).
    """
    xy, yz, zx, d, q = tensor.unbind(-2)
    x, y, z = vector.unbind(-2)
    q = q * 3**-0.5
    return torch.stack([(d - q) * x + xy * y + zx * z, xy * x - (d + q) * y + yz * z, zx * x + yz * y + 2 * q * z], -2)


def soft_length(squared: Tensor, softening: float) -> Tensor:
    """sqrt(x^2 + s^2) - s: lengths far above s, smooth where vectors vanish.

    At symmetric sites they vanish exactly. A plain length has a cusp there, which makes the energy a cone around every
    symmetric crystal: wrong forces after small displacements and false imaginary vibrations.

    Args:
        squared: Sum of the squared components, any shape.
        softening: s, in the units of the vectors.

    Returns:
        The same shape.
    """
    return squared / ((squared + softening**2).sqrt() + softening)  # the same without cancellation


class TensorChannel(nn.Module):
    """Tensors of each atom: gathered from neighbours, read as lengths, and turned against the vectors.

    Its contributions start at zero, so that a trained network can be given one.
    """

    def __init__(self, width: int, channels: int, softening: float) -> None:
        super().__init__()
        self.softening = softening
        self.sender = nn.Linear(width, channels)
        self.radial = nn.Linear(_TENSOR_RADIAL, channels, bias=False)
        self.vectors = nn.Linear(width, channels, bias=False)
        gained = nn.Linear(width, width)
        self.scalars = nn.Sequential(nn.Linear(width + 2 * channels, width), nn.SiLU(), gained)
        self.back = nn.Linear(channels, width, bias=False)
        for start in (gained.weight, gained.bias, self.back.weight):
            nn.init.zeros_(start)

    def forward(self, x: Tensor, v: Tensor, squared: Tensor) -> tuple[Tensor, Tensor]:
        """What scalars and vectors gain from the tensors.

        Args:
            x: Scalars, (B, N, W).
            v: Vectors, (B, N, 3, W).
            squared: Moments of the squared directions, (B, N, N, 5, 8).

        Returns:
            Additions to scalars (B, N, W) and vectors (B, N, 3, W).
        """
        tensors = (self.radial(squared) * self.sender(x)[:, None, :, None, :]).sum(2)  # (B, N, 5, C)
        turned = self.vectors(v)  # (B, N, 3, C)
        product = tensor_times_vector(tensors, turned)
        length = soft_length(tensors.square().sum(2), self.softening)
        gained = self.scalars(torch.cat([x, length, (product * turned).sum(2)], dim=-1))
        return gained, self.back(product)


class LocalLayer(nn.Module):
    """One round of messages between neighbours, then scalars and vectors of each atom mix."""

    def __init__(self, config: LocalConfig) -> None:
        super().__init__()
        width, n_radial = config.width, config.n_radial
        self.softening = config.softening
        self.norm = nn.LayerNorm(width)
        self.sender = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 3 * width))
        self.radial = nn.Linear(n_radial, 2 * width, bias=False)
        self.directed = nn.Linear(n_radial, width, bias=False)
        self.vectors = nn.Linear(width, 2 * width, bias=False)
        self.mix = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.SiLU(), nn.Linear(2 * width, 3 * width))
        channels = config.tensor_width
        self.tensors = TensorChannel(width, channels, config.softening) if channels else None

    def forward(self, x: Tensor, v: Tensor | None, moments: Moments) -> tuple[Tensor, Tensor]:
        """One round.

        Args:
            x: Scalars, (B, N, W).
            v: Vectors, (B, N, 3, W); None while they are zero.
            moments: Sums over the neighbour images.

        Returns:
            Scalars and vectors after it.
        """
        normed = self.norm(x)
        scalar, push, carry = self.sender(normed).chunk(3, dim=-1)  # each (B, N, W)
        f_push = self.directed(moments.directed)  # (B, N, N, 3, W)
        # products and sums instead of einsum, which would transpose the pair tensors for a batch of tiny matmuls
        pushed = f_push * push.unsqueeze(1).unsqueeze(3)
        if v is None:
            f_scalar = F.linear(moments.radial, self.radial.weight[: x.shape[-1]])
            v = pushed.sum(2)
        else:
            f_scalar, f_carry = self.radial(moments.radial).chunk(2, dim=-1)  # (B, N, N, W)
            carried = (carry.unsqueeze(2) * v).unsqueeze(1)  # (B, 1, N, 3, W)
            v = v + torch.addcmul(pushed, f_carry.unsqueeze(3), carried).sum(2)
        x = x + (f_scalar * scalar.unsqueeze(1)).sum(2)
        if self.tensors is not None and moments.squared is not None:
            gained, turned = self.tensors(normed, v, moments.squared)
            x, v = x + gained, v + turned
        left, right = self.vectors(v).chunk(2, dim=-1)  # (B, N, 3, W)
        length = soft_length(right.square().sum(2), self.softening)
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
        self.coarse = nn.Linear(config.n_radial, _TENSOR_RADIAL, bias=False) if config.tensor_width else None
        self.layers = nn.ModuleList(LocalLayer(config) for _ in range(config.n_blocks))
        self.norm = nn.LayerNorm(width)
        self.push = nn.Linear(width, 1, bias=False)
        self.energy = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, config.n_energies))
        self.repulsion = NuclearRepulsion() if config.repulsion else None
        self.references = nn.Embedding(101, config.n_energies) if config.references else None
        if self.references is not None:
            nn.init.zeros_(self.references.weight)

    def forward(
        self,
        lattice: Tensor,
        frac_coords: Tensor,
        atomic_numbers: Tensor,
        t: Tensor,
        seeded: Tensor | None = None,  # noqa: ARG002
    ) -> Outputs:
        """Scores, lattice update and energies of a batch.

        Args:
            lattice: (B, 3, 3) in angstrom, rows are vectors.
            frac_coords: (B, N, 3).
            atomic_numbers: (B, N), 0 is padding.
            t: Time in [0, 1], (B,).
            seeded: 1 where the trajectory starts at a template, (B,); ignored.

        Returns:
            The outputs, see `Outputs`.
        """
        mask = atomic_numbers > 0
        c = self.config
        edges = neighbor_images(lattice, frac_coords, mask, c.cutoff)
        # messages are sums over about twenty neighbours: basis functions are scaled before they are summed
        basis = radial_basis(edges.distance, c.n_radial, c.cutoff) / _TYPICAL_NEIGHBORS**0.5
        coarse = None if self.coarse is None else self.coarse(basis)
        moments = neighbor_moments(edges, (len(mask), mask.shape[1]), basis, coarse)
        time = self.time(sinusoidal_time(t, c.time_dim)).unsqueeze(1)
        x = F.silu(self.elements(atomic_numbers) + time) * mask.unsqueeze(-1).to(lattice.dtype)
        v: Tensor | None = None
        for layer in self.layers:
            x, v = layer(x, v, moments)
        assert v is not None  # n_blocks > 0
        cart = self.push(v).squeeze(-1)  # (B, N, 3)
        with full_precision(lattice):
            coords = cart.to(lattice.dtype) @ torch.linalg.inv(lattice) * mask.unsqueeze(-1)
        atoms = self.norm(x)
        per_atom = self.energy(atoms)  # (B, N, n_energies)
        if self.references is not None:
            per_atom = per_atom + self.references(atomic_numbers.clamp(max=100))
        if self.repulsion is not None:
            per_atom = per_atom + self.repulsion(edges.index, edges.distance, atomic_numbers).unsqueeze(-1)
        zero = lattice.new_zeros
        return Outputs(coords, zero(len(t), 3, 3), zero(len(t), 6), masked_mean(per_atom, mask), atoms)
