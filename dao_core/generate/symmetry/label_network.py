"""p(space group, Wyckoff letters | composition): a small prefix transformer over orbits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dao_core.generate.symmetry.label_tokens import (
    ELEMENT,
    GROUP,
    LETTER,
    MAX_ELEMENTS,
    START,
    EncodedLabel,
    LabelBatch,
    Source,
)
from dao_core.generate.symmetry.transformer import (
    ElementEmbedding,
    PrefixTransformer,
    SpaceGroupEmbedding,
    SymmetryNetworkConfig,
    embedding,
)
from dao_core.generate.symmetry.wyckoff_tables import (
    LETTERS,
    MAX_COUNT,
    N_GROUPS,
    N_LETTERS,
    all_positions,
    multiplicities,
    position_ids,
    wyckoff_positions,
)

MOST_ATOMS = 128  # larger cells share an embedding
IMPOSSIBLE = -1e9  # logit of what the rules exclude


class LabelNetwork(nn.Module):
    """Logits of the space group and, orbit by orbit, of the next Wyckoff letter."""

    letter_ids: Tensor

    def __init__(self, config: SymmetryNetworkConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.elements, self.groups = ElementEmbedding(width), SpaceGroupEmbedding(width)
        self.count, self.share, self.place = embedding(MAX_COUNT + 1, width), nn.Linear(2, width), embedding(12, width)
        self.total, self.units = embedding(MOST_ATOMS + 1, width), embedding(MAX_COUNT + 1, width)
        self.start, self.source = nn.Parameter(torch.zeros(width)), embedding(len(Source), width, 0.02)
        self.current, self.remaining = nn.Linear(width, width), embedding(MAX_COUNT + 1, width)
        self.current_place = embedding(MAX_ELEMENTS + 2, width)
        self.positions = PositionEmbedding(width)
        self.transformer = PrefixTransformer(config)
        self.to_group, self.group_out = nn.Linear(width, width), embedding(N_GROUPS, width)
        self.to_letter, self.letter_out = nn.Linear(width, width), nn.Linear(width, width)
        self.group_bias = nn.Parameter(torch.zeros(N_GROUPS))
        self.letter_bias = nn.Parameter(torch.zeros(len(all_positions())))
        self.scale = width**-0.5
        self.register_buffer("letter_ids", torch.tensor(position_ids()), persistent=False)

    def forward(self, batch: LabelBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states (B, T, W), space-group vectors (231, W) and position vectors (1731, W)."""
        groups = self.groups()
        positions = self.positions(groups)
        element = self.elements(batch.element)
        part = batch.count.float() / batch.total[:, None]
        known = torch.stack([part, torch.log(batch.count.clamp_min(1).float())], -1)
        content = element + self.count(batch.count) + self.share(known) + self.place(batch.place)
        overall = self.total(batch.total.clamp_max(MOST_ATOMS)) + self.units(batch.units)
        decided = (
            self.current(element) + self.remaining(batch.count) + self.current_place(batch.place) + groups[batch.group]
        )
        kind = batch.kind[..., None]
        start = self.start + self.source(batch.place.clamp_max(len(Source) - 1))
        x = (kind == ELEMENT) * content + (kind == START) * start
        x = x + ((kind == ELEMENT) | (kind == START)) * overall[:, None]
        x = x + (kind >= GROUP) * decided + (kind == LETTER) * positions[batch.position]
        return self.transformer(x, batch.prefix), groups, positions

    def group_logits(self, hidden: Tensor, groups: Tensor) -> Tensor:
        """Scores of the space groups.

        Args:
            hidden: States of R start tokens, (R, W).
            groups: Vectors of the space groups, (231, W).

        Returns:
            (R, 231).
        """
        return self.to_group(hidden) @ (groups + self.group_out.weight).T * self.scale + self.group_bias

    def letter_logits(self, hidden: Tensor, positions: Tensor, group: Tensor) -> Tensor:
        """Scores of the next Wyckoff letter.

        Args:
            hidden: States, (R, W).
            positions: Vectors of all Wyckoff positions, (1731, W).
            group: Number of the space group, (R,).

        Returns:
            (R, 27).
        """
        logits = self.to_letter(hidden) @ self.letter_out(positions).T * self.scale + self.letter_bias
        return logits.gather(1, self.letter_ids[group])


class PositionEmbedding(nn.Module):
    """A vector (1731, W) for each Wyckoff position: letter, multiplicity, free coordinates, space group, its own."""

    facts: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        facts = np.array([
            (number, LETTERS.index(letter), min(int(multiplicities()[number, LETTERS.index(letter)]), 99),
             wyckoff_positions(number)[letter].n_free)
            for number, letter in all_positions()
        ])  # fmt: skip
        self.register_buffer("facts", torch.tensor(facts), persistent=False)
        self.own = embedding(len(facts), width, 0.1)
        self.letter, self.size, self.free = embedding(N_LETTERS, width), embedding(100, width), embedding(4, width)
        self.group = nn.Linear(width, width)

    def forward(self, groups: Tensor) -> Tensor:
        """Space-group vectors (231, W) to position vectors (1731, W)."""
        number, letter, size, free = self.facts.T
        return self.own.weight + self.letter(letter) + self.size(size) + self.free(free) + self.group(groups)[number]


def label_log_probabilities(
    network: LabelNetwork, rows: Sequence[EncodedLabel], tokens: Sequence[NDArray[np.int64]]
) -> tuple[Tensor, Tensor]:
    """Log probabilities (B,) of the space groups and of all letters of each row, only what is allowed counted.

    Args:
        network: The network.
        rows: Labels; what is right and what was allowed is theirs.
        tokens: What the network is shown, usually the rows' own (T, 6).
    """
    batch = LabelBatch.of(tokens, [r.prefix for r in rows])
    hidden, groups, positions = network(batch)
    each = torch.arange(len(rows))
    target = torch.tensor([r.group for r in rows])
    allowed = torch.from_numpy(np.stack([r.groups for r in rows]))
    logits = network.group_logits(hidden[each, batch.prefix - 1], groups).masked_fill(~allowed, IMPOSSIBLE)
    group = -functional.cross_entropy(logits, target, reduction="none")
    sizes = [len(r.letters) for r in rows]
    row = torch.repeat_interleave(each, torch.tensor(sizes))
    step = torch.cat([r.prefix + torch.arange(n) for r, n in zip(rows, sizes, strict=True)])
    masks = torch.from_numpy(np.concatenate([r.masks for r in rows]))
    letters = torch.from_numpy(np.concatenate([r.letters for r in rows]))
    logits = network.letter_logits(hidden[row, step], positions, target[row]).masked_fill(~masks, IMPOSSIBLE)
    each_letter = -functional.cross_entropy(logits, letters, reduction="none")
    return group, each_letter.new_zeros(len(rows)).index_add(0, row, each_letter)
