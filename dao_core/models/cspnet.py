"""CSPNet, DiffCSP's message passing network, on the dense fully connected graph.

Jiao et al., "Crystal structure prediction by joint equivariant diffusion", NeurIPS 2023, equations 9-12. The first
layer of the edge network is split into its node, lattice and offset parts, which gives the same numbers with less work.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dao_core.models.config import CspnetConfig
from dao_core.models.embeddings import ElementEmbedding, sinusoidal_time
from dao_core.models.geometry import fourier_features, gram, offsets
from dao_core.models.heads import Heads, Outputs


class MessageLayer(nn.Module):
    """h_i += phi_h(h_i, mean_j phi_m(h_i, h_j, L L^T, fourier(f_j - f_i)))."""

    def __init__(self, width: int, n_frequencies: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.receiver = nn.Linear(width, width)
        self.sender = nn.Linear(width, width, bias=False)
        self.cell = nn.Linear(9, width, bias=False)
        self.offset = nn.Linear(6 * n_frequencies, width, bias=False)
        self.message = nn.Linear(width, width)
        self.update = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, x: Tensor, metric: Tensor, fourier: Tensor, mask: Tensor) -> Tensor:
        """One round of messages over all ordered pairs.

        Args:
            x: Atom states, (B, N, width).
            metric: Gram matrix of the cell, (B, 9).
            fourier: Fourier features of the fractional offsets, (B, N, N, 6 n).
            mask: Real atoms, (B, N).

        Returns:
            Atom states, (B, N, width).
        """
        h = self.norm(x)
        first = self.receiver(h).unsqueeze(2) + self.sender(h).unsqueeze(1)  # (B, N, N, width)
        first = first + self.cell(metric)[:, None, None, :] + self.offset(fourier)
        messages = F.silu(self.message(F.silu(first)))
        weight = mask.to(x.dtype)[:, None, :, None]
        mean = (messages * weight).sum(2) / weight.sum(2)
        return x + self.update(torch.cat([h, mean], dim=-1))


class Cspnet(nn.Module):
    """Same call as `Crysformer`; `seeded` is a further input channel of every atom, beside the time."""

    def __init__(self, config: CspnetConfig) -> None:
        super().__init__()
        self.config = config
        self.elements = ElementEmbedding(config.width)
        self.input = nn.Linear(config.width + config.time_dim + 1, config.width)
        self.layers = nn.ModuleList(MessageLayer(config.width, config.n_frequencies) for _ in range(config.n_blocks))
        self.norm = nn.LayerNorm(config.width)
        self.heads = Heads(config.width, config.n_energies)

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
        flag = torch.zeros_like(t) if seeded is None else seeded.to(t.dtype)
        time = torch.cat([sinusoidal_time(t, self.config.time_dim), flag.unsqueeze(-1)], dim=-1)
        x = self.input(torch.cat([self.elements(atomic_numbers), time.unsqueeze(1).expand(-1, mask.shape[1], -1)], -1))
        metric = gram(lattice).flatten(1)
        fourier = fourier_features(offsets(frac_coords), self.config.n_frequencies)
        for layer in self.layers:
            x = layer(x, metric, fourier, mask)
        return self.heads(self.norm(x), mask)
