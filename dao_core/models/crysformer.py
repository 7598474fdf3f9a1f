"""Crysformer: attention over all atom pairs of the cell with geometric pair features, in dense padded form.

Published form: Wu et al., Nature Communications 2026, section "Crysformer". The pair projection g_ij = W_e e_ij is
never formed: q_i . g_ij = (W_e^T q_i) . e_ij and sum_j a_ij g_ij = W_e (sum_j a_ij e_ij), the same numbers for a
fraction of the work and memory.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dao_core.models.config import CrysformerConfig
from dao_core.models.embeddings import ElementEmbedding, sinusoidal_time
from dao_core.models.geometry import (
    cell_volume,
    fourier_features,
    gram,
    offsets,
    radial_pair_features,
)
from dao_core.models.heads import Heads, Outputs


class PairFeatures(nn.Module):
    """Geometric features e_ij of every ordered pair, (B, N, N, size)."""

    def __init__(self, config: CrysformerConfig) -> None:
        super().__init__()
        self.config = config
        raw = (10 if config.normalized_gram else 9) + 6 * config.n_frequencies
        raw += config.n_radial if config.distances else 0
        self.norm = nn.LayerNorm(raw)
        self.size = config.pair_width or raw
        if config.pair_width:
            hidden = 2 * config.pair_width
            self.geometry = nn.Linear(raw, hidden)
            self.sender = nn.Linear(config.width, hidden, bias=False)
            self.receiver = nn.Linear(config.width, hidden, bias=False)
            self.out = nn.Linear(hidden, config.pair_width)

    def forward(self, lattice: Tensor, frac_coords: Tensor, mask: Tensor, elements: Tensor) -> Tensor:
        """Features of all ordered pairs.

        Args:
            lattice: (B, 3, 3).
            frac_coords: (B, N, 3).
            mask: Real atoms, (B, N).
            elements: Embedded elements, (B, N, width).

        Returns:
            (B, N, N, size).
        """
        c = self.config
        b, n = mask.shape
        metric = gram(lattice)
        if c.normalized_gram:
            volume = cell_volume(lattice)
            metric = metric / volume.pow(2 / 3)[:, None, None]
            log_density = (volume / mask.sum(1)).log().unsqueeze(-1) - 3.0
            cell = torch.cat([metric.flatten(1), log_density], dim=-1)
            first = 1  # k = 0 is the constant pair (0, 1)
        else:
            cell, first = metric.flatten(1), 0
        parts = [
            cell[:, None, None, :].expand(b, n, n, -1),
            fourier_features(offsets(frac_coords), c.n_frequencies, first=first),
        ]
        if c.distances:
            parts.append(radial_pair_features(lattice, frac_coords, mask, c.n_radial, c.cutoff))
        features = self.norm(torch.cat(parts, dim=-1))
        if not c.pair_width:
            return features
        hidden = self.geometry(features) + self.sender(elements).unsqueeze(1) + self.receiver(elements).unsqueeze(2)
        return self.out(F.silu(hidden))  # (B, N, N, pair_width)


class PairAttention(nn.Module):
    """s_ij = q_i . (k_j + g_ij) / sqrt(d), m_i = sum_j softmax_j(s_ij) (v_j + g_ij), g_ij = W_e e_ij."""

    def __init__(self, width: int, n_heads: int, pair_size: int) -> None:
        super().__init__()
        if width % n_heads:
            raise ValueError(f"width {width} is not divisible by {n_heads} heads")
        self.n_heads, self.head = n_heads, width // n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.pair = nn.Linear(pair_size, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, pairs: Tensor, mask: Tensor) -> Tensor:
        """What each atom takes from all others.

        Args:
            x: Atom states, (B, N, width).
            pairs: Pair features, (B, N, N, pair_size).
            mask: Real atoms, (B, N).

        Returns:
            (B, N, width).
        """
        b, n, width = x.shape
        h, d = self.n_heads, self.head
        q, k, v = self.qkv(x).view(b, n, 3, h, d).unbind(2)  # each (B, N, H, d)
        weight = self.pair.weight.view(h, d, -1)  # (H, d, P)
        pair_query = torch.einsum("bihd,hdp->bihp", q, weight)  # (B, N, H, P)
        flat_pairs = pairs.reshape(b * n, n, -1)
        scores = torch.einsum("bihd,bjhd->bihj", q, k)  # (B, N, H, N)
        scores = scores + (pair_query.reshape(b * n, h, -1) @ flat_pairs.transpose(1, 2)).view(b, n, h, n)
        scores = (scores / math.sqrt(d)).masked_fill(~mask[:, None, None, :], -1e9)
        attention = scores.softmax(dim=-1)
        pair_message = (attention.reshape(b * n, h, n) @ flat_pairs).view(b, n, h, -1)  # (B, N, H, P)
        message = torch.einsum("bihj,bjhd->bihd", attention, v) + torch.einsum("bihp,hdp->bihd", pair_message, weight)
        return self.out(message.reshape(b, n, width))


class GatedResidual(nn.Module):
    """R(x, r) = g x + (1 - g) r with one gate per atom, g = sigmoid(w . [x, r, x - r])."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(3 * width, 1, bias=False)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """Mix an update with what it updates.

        Args:
            x: The update, (B, N, width).
            residual: The state before, (B, N, width).

        Returns:
            (B, N, width).
        """
        gate = torch.sigmoid(self.gate(torch.cat([x, residual, x - residual], dim=-1)))
        return gate * x + (1 - gate) * residual


class Block(nn.Module):
    """Pre-norm attention and feed-forward; residuals gated as published, or modulated by time and lattice."""

    def __init__(self, config: CrysformerConfig, pair_size: int) -> None:
        super().__init__()
        width = config.width
        affine = not config.modulation
        self.norm1 = nn.LayerNorm(width, elementwise_affine=affine)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=affine)
        self.attention = PairAttention(width, config.n_heads, pair_size)
        self.ffn = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.modulation: nn.Linear | None = None
        if config.modulation:
            self.modulation = nn.Linear(config.modulation_dim, 6 * width)
            nn.init.zeros_(self.modulation.weight)  # every block starts as the identity
            nn.init.zeros_(self.modulation.bias)
        else:
            self.residual1, self.residual2 = GatedResidual(width), GatedResidual(width)

    def forward(self, x: Tensor, pairs: Tensor, mask: Tensor, condition: Tensor | None) -> Tensor:
        """Attention, then the feed-forward network.

        Args:
            x: Atom states, (B, N, width).
            pairs: Pair features, (B, N, N, pair_size).
            mask: Real atoms, (B, N).
            condition: Embedded time and lattice, (B, modulation_dim); None in the published form.

        Returns:
            Atom states, (B, N, width).
        """
        if self.modulation is None or condition is None:
            x = self.residual1(self.attention(self.norm1(x), pairs, mask), x)
            return self.residual2(self.ffn(self.norm2(x)), x)
        s1, b1, g1, s2, b2, g2 = self.modulation(condition).unsqueeze(1).chunk(6, dim=-1)  # each (B, 1, width)
        x = x + g1 * self.attention(self.norm1(x) * (1 + s1) + b1, pairs, mask)
        return x + g2 * self.ffn(self.norm2(x) * (1 + s2) + b2)


class Crysformer(nn.Module):
    """The network: (lattice, coordinates, elements, time, origin flag) -> scores, lattice update and energies.

    Shapes: lattice (B, 3, 3), frac_coords (B, N, 3), atomic_numbers (B, N) with 0 as padding, t (B,) in [0, 1],
    seeded (B,) 0 or 1 (1: the trajectory starts at a template). Returns `Outputs`.
    """

    def __init__(self, config: CrysformerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.elements = ElementEmbedding(width)
        self.input = nn.Linear(width + config.time_dim, width)
        self.pairs = PairFeatures(config)
        self.blocks = nn.ModuleList(Block(config, self.pairs.size) for _ in range(config.n_blocks))
        self.norm = nn.LayerNorm(width)
        self.heads = Heads(width, config.n_energies)
        if config.modulation:
            size = config.modulation_dim
            self.condition = nn.Sequential(
                nn.Linear(config.time_dim + 11, size), nn.SiLU(), nn.Linear(size, size), nn.SiLU()
            )

    def forward(
        self, lattice: Tensor, frac_coords: Tensor, atomic_numbers: Tensor, t: Tensor, seeded: Tensor | None = None
    ) -> Outputs:
        """Scores, lattice update and energies of a batch.

        Args:
            lattice: (B, 3, 3) in angstrom, rows are vectors.
            frac_coords: (B, N, 3).
            atomic_numbers: (B, N), 0 is padding.
            t: Time in [0, 1], (B,).
            seeded: 1 where the trajectory starts at a template, (B,); 0 everywhere if None.

        Returns:
            The outputs, see `Outputs`.
        """
        mask = atomic_numbers > 0
        elements = self.elements(atomic_numbers)  # (B, N, width)
        time = sinusoidal_time(t, self.config.time_dim)  # (B, time_dim)
        x = self.input(torch.cat([elements, time.unsqueeze(1).expand(-1, mask.shape[1], -1)], dim=-1))
        pairs = self.pairs(lattice, frac_coords, mask, elements)
        condition = self._condition(lattice, mask, time, seeded) if self.config.modulation else None
        for block in self.blocks:
            x = block(x, pairs, mask, condition)
        return self.heads(self.norm(x), mask)

    def _condition(self, lattice: Tensor, mask: Tensor, time: Tensor, seeded: Tensor | None) -> Tensor:
        volume = cell_volume(lattice)
        metric = (gram(lattice) / volume.pow(2 / 3)[:, None, None]).flatten(1)
        density = (volume / mask.sum(1)).log().unsqueeze(-1) - 3.0
        flag = torch.zeros_like(density) if seeded is None else seeded.to(density.dtype).unsqueeze(-1)
        return self.condition(torch.cat([time, metric, density, flag], dim=-1))
