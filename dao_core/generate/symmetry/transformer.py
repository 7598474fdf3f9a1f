"""What both symmetry networks share: a transformer whose prefix sees itself and whose tokens see what came before."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from dao_core.elements import element_descriptors
from dao_core.generate.symmetry.wyckoff_tables import N_GROUPS, group_classes
from dao_core.generate.templates.elements import element_coordinates


class SymmetryNetworkConfig(BaseModel):
    """Size of a symmetry network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(128, gt=0)
    n_blocks: int = Field(4, gt=0)
    n_heads: int = Field(4, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)


class Block(nn.Module):
    """Attention and a feed-forward layer, both on normalised input."""

    def __init__(self, config: SymmetryNetworkConfig) -> None:
        super().__init__()
        width = config.width
        self.n_heads, self.dropout = config.n_heads, config.dropout
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """`x` (B, T, W); `seen` (B, 1, T, T) is True where a token sees another."""
        batch, length, width = x.shape
        qkv = self._product(self.to_qkv, self.attention_norm(x)).view(
            batch, length, 3, self.n_heads, width // self.n_heads
        )
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (B, H, T, W / H)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        x = x + self._drop(self._product(self.out, mixed.transpose(1, 2).reshape(batch, length, width)))
        wide = functional.gelu(self._product(self.widen, self.feed_norm(x)))
        return x + self._drop(self._product(self.narrow, wide))

    def _product(self, linear: nn.Linear, x: Tensor) -> Tensor:
        """A linear layer; in training with factors of half precision where the processor multiplies them faster."""
        if not (self.training and multiplies_bfloat16()):
            return torch.as_tensor(linear(x))
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            return torch.as_tensor(linear(x)).float()

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)


class PrefixTransformer(nn.Module):
    """Blocks over (B, T, W); token t sees the tokens up to itself, and all of the prefix."""

    def __init__(self, config: SymmetryNetworkConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_blocks)])
        self.norm = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, prefix: Tensor) -> Tensor:
        """`prefix` (B,): tokens of each row's prefix."""
        step = torch.arange(x.shape[1])
        seen = (step[None, None] <= step[None, :, None]) | (step[None, None] < prefix[:, None, None])  # (B, T, T)
        x = functional.dropout(x, self.dropout, self.training)
        for block in self.blocks:
            x = block(x, seen[:, None])
        return self.norm(x)


class ElementEmbedding(nn.Module):
    """A learned vector for each element beside a projection of its tabulated properties."""

    table: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        table = np.concatenate([element_descriptors(), element_coordinates()], axis=1)
        self.register_buffer("table", torch.tensor(table, dtype=torch.float32), persistent=False)
        self.own = embedding(len(table), width, 0.15)
        self.projected = nn.Linear(table.shape[1], width)

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """Atomic numbers of any shape to vectors (..., W)."""
        return self.own(atomic_numbers) + self.projected(self.table[atomic_numbers])


class SpaceGroupEmbedding(nn.Module):
    """A vector (231, W) for each space group: its own, and those of its crystal class, centring and crystal system."""

    classes: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        classes = class_indices()
        self.register_buffer("classes", torch.tensor(classes), persistent=False)
        self.own = embedding(N_GROUPS, width, 0.3)
        self.shared = nn.ModuleList([embedding(int(n) + 1, width, 0.3) for n in classes.max(0)])

    def forward(self) -> Tensor:
        """The table of all space groups."""
        out = self.own.weight
        for column, table in enumerate(self.shared):
            out = out + table(self.classes[:, column])
        return out


@lru_cache(maxsize=1)
def multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for products of bfloat16: a training step takes three quarters."""
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


@lru_cache(maxsize=1)
def class_indices() -> NDArray[np.int64]:
    """Crystal class, centring and crystal system of each space group as running numbers, (231, 3)."""
    names = [group_classes(number) for number in range(1, N_GROUPS)]
    known: list[dict[str, int]] = [{} for _ in range(3)]
    rows = [[known[k].setdefault(name, len(known[k])) for k, name in enumerate(row)] for row in names]
    return np.array([[0, 0, 0], *rows])


def embedding(n: int, width: int, spread: float = 0.3) -> nn.Embedding:
    """An embedding with normally distributed start values of the given standard deviation."""
    table = nn.Embedding(n, width)
    nn.init.normal_(table.weight, std=spread)
    return table
